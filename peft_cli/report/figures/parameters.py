"""Performance against what is stored for a task, on a log axis, with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.compare import sign
from peft_cli.report.figures.panels import BOTTOM, LINE, logarithmic, panels, scatter, side_by_side
from peft_cli.report.figures.places import Place, Point, places, points
from peft_cli.report.figures.style import GREY, titled
from peft_cli.report.tables import Table

FRONT = "Pareto front"


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A figure for each place and metric, with a panel for each number of shots."""
    for place in places(tables):
        for metric in place.metrics(metrics):
            groups = {shots: points(group, metric, "stored") for shots, group in place.panels()}
            groups = {shots: found for shots, found in groups.items() if len(trained(place, found)) > 1}
            if groups:
                figure, axes = panels(
                    list(groups), place.looks, bottom=BOTTOM + LINE, dashes={FRONT: ":"} | place.floor
                )
                for one, found in zip(axes, groups.values(), strict=True):
                    fill(one, place, found, metric)
                yield f"{place.title}-{metric}", caption(place, metric), figure


def caption(place: Place, metric: str) -> str:
    """What is seen."""
    return (
        f"{titled(metric)} against weights stored for a task (below: their share of the backbone's), {place.title}: "
        f"{place.means} with 95 % t-intervals; Pareto front: what no method with as few weights is better than; "
        "methods with about as many weights stand side by side"
    )


def fill(axes: Axes, place: Place, found: Sequence[Point], metric: str) -> None:
    """The points, the front, and the untouched backbone as a line across."""
    own = trained(place, found)
    for point in found:
        if point not in own:
            axes.axhline(point.y, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    scatter(axes, side_by_side(own), place.looks)
    front = pareto(own, sign(metric))
    axes.step(
        [p.x for p in front], [p.y for p in front], where="post", color=GREY, linewidth=1, linestyle=":", zorder=0
    )
    logarithmic(axes, [point.x for point in own], whole=place.n_weights)
    axes.set_xlabel("weights stored", fontsize=8)
    axes.set_ylabel(titled(metric), fontsize=8)


def trained(place: Place, found: Sequence[Point]) -> list[Point]:
    """The points that are not of the untouched backbone, which may have a head and so store something too."""
    return [point for point in found if point.label in place.looks]


def pareto(found: Sequence[Point], direction: int) -> list[Point]:
    """The points that none with as little stored is better than, from the least stored on."""
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.x, -direction * p.y)):
        if not front or direction * point.y > direction * front[-1].y:
            front.append(point)
    return front
