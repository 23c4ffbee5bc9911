"""Performance against the time of a step and against memory, where these were measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.figures.benchmarks import MOST_PANELS, Benchmark, benchmarks, points
from peft_cli.report.figures.panels import panels, scatter
from peft_cli.report.figures.style import GREY, Point, metric_title
from peft_cli.report.measures import MEMORY, STEP
from peft_cli.report.tables import Table, is_comparable

MEASURES = {STEP: "a step, ms", MEMORY: "peak memory, MiB"}


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a figure for each benchmark and metric: a row of panels for each number of shots."""
    for benchmark in benchmarks(tables):
        for metric in benchmark.metrics(chosen):
            found = list(cases(benchmark, metric))
            if found:
                titles, across = [title for title, _, _ in found], 2 if len(found) <= 6 else 4
                figure, axes = panels(titles, benchmark.looks, across=across, dashes=benchmark.untouched)
                for one, (_, name, group) in zip(axes, found, strict=True):
                    draw_panel(one, benchmark, group, name, metric)
                text = f"{metric_title(metric)} against the time of a step and peak memory, {benchmark.title}"
                yield f"{benchmark.title}-{metric}", f"{text}: {benchmark.means} with 95 % t-intervals", figure


def cases(benchmark: Benchmark, metric: str) -> Iterator[tuple[str, str, list[Point]]]:
    """Yields (title, name of x, points) of each panel."""
    for shots, group in benchmark.panels(MOST_PANELS // 2):
        trained = [run for _, row in group for run in row.runs if row.is_trained]
        for measure, name in MEASURES.items():
            found = [point for point in points(group, metric, measure) if point.label in benchmark.looks]
            if len(found) > 1 and is_comparable(measure, trained):
                yield shots, name, found


def draw_panel(axes: Axes, benchmark: Benchmark, found: Sequence[Point], name: str, metric: str) -> None:
    """Draws the points of a panel, and the untouched backbone as a line across."""
    scatter(axes, found, benchmark.looks)
    for row in (row for group in benchmark.rows for _, row in group if row.is_untouched):
        if scores := row.scores(metric):
            axes.axhline(scores[0], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.margins(x=0.12)
    axes.set_xlabel(name)
    axes.set_ylabel(metric_title(metric))
