"""Performance against the time of a step and against memory, where these were measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.figures.panels import panels, scatter
from peft_cli.report.figures.places import MOST_PANELS, Place, Point, places, points
from peft_cli.report.figures.style import GREY, titled
from peft_cli.report.runs import COSTS
from peft_cli.report.tables import Table, is_comparable

MEASURES = {"step ms": "a step, ms", "memory MiB": "peak memory, MiB"}  # as COSTS and costs.py both call them


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A figure for each place and metric: a row of panels for each number of shots."""
    for place in places(tables):
        for metric in place.metrics(metrics):
            found = list(cases(place, metric))
            if found:
                titles = [title for title, _, _ in found]
                figure, axes = panels(titles, place.looks, across=2 if len(found) <= 6 else 4, dashes=place.floor)
                for one, (_, measure, group) in zip(axes, found, strict=True):
                    fill(one, place, group, measure, metric)
                text = f"{titled(metric)} against the time of a step and peak memory, {place.title}: {place.means}"
                yield f"{place.title}-{metric}", f"{text} with 95 % t-intervals", figure


def cases(place: Place, metric: str) -> Iterator[tuple[str, str, list[Point]]]:
    """(title, measure, points) of each panel."""
    titles = [cost.title for cost in COSTS]
    for shots, group in place.panels(MOST_PANELS // 2):
        trained = [run for _, row in group for run in row.runs if not run.is_floor]
        for measure in MEASURES:
            found = points(group, metric, measure)
            if is_comparable(titles.index(measure), trained) and sum(point.label in place.looks for point in found) > 1:
                yield shots, measure, found


def fill(axes: Axes, place: Place, found: Sequence[Point], measure: str, metric: str) -> None:
    """The points of a panel."""
    scatter(axes, [point for point in found if point.label in place.looks], place.looks)
    for label, row in (pair for group in place.rows for pair in group):
        if row.runs[0].is_floor and row.runs[0].fields.get(f"scores.{metric}") is not None and label:
            axes.axhline(row.runs[0].fields[f"scores.{metric}"], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.margins(x=0.12)
    axes.set_xlabel(MEASURES[measure], fontsize=8)
    axes.set_ylabel(titled(metric), fontsize=8)
