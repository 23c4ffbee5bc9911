"""Performance against what is stored for a task, on a log axis, with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.compare import sign
from peft_cli.report.figures.benchmarks import Benchmark, benchmarks, points
from peft_cli.report.figures.panels import panels, scatter, set_log_axis, side_by_side
from peft_cli.report.figures.style import GREY, Point, metric_title
from peft_cli.report.measures import STORED
from peft_cli.report.tables import Table

FRONT = "Pareto front"


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a figure for each benchmark and metric, with a panel for each number of shots."""
    for benchmark in benchmarks(tables):
        for metric in benchmark.metrics(chosen):
            groups = {shots: points(group, metric, STORED) for shots, group in benchmark.panels()}
            groups = {shots: found for shots, found in groups.items() if len(trained(benchmark, found)) > 1}
            if groups:
                figure, axes = panels(list(groups), benchmark.looks, dashes={FRONT: ":"} | benchmark.untouched)
                for one, found in zip(axes, groups.values(), strict=True):
                    draw_panel(one, benchmark, found, metric)
                yield f"{benchmark.title}-{metric}", caption(benchmark, metric), figure


def caption(benchmark: Benchmark, metric: str) -> str:
    """Returns what the figure shows."""
    return (
        f"{metric_title(metric)} against weights stored for a task (below: their share of the backbone's), "
        f"{benchmark.title}: {benchmark.means} with 95 % t-intervals; Pareto front: what no method with as few weights "
        "is better than; methods with about as many weights are side by side"
    )


def draw_panel(axes: Axes, benchmark: Benchmark, found: Sequence[Point], metric: str) -> None:
    """Draws the points, the front, and the untouched backbone as a line across."""
    own = trained(benchmark, found)
    for point in found:
        if point.label not in benchmark.looks:
            axes.axhline(point.y, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    scatter(axes, side_by_side(own), benchmark.looks)
    front = pareto(own, sign(metric))
    x, y = [p.x for p in front], [p.y for p in front]
    axes.step(x, y, where="post", color=GREY, linewidth=1, linestyle=":", zorder=0)
    set_log_axis(axes, [point.x for point in own], whole=benchmark.n_weights)
    axes.set_xlabel("weights stored")
    axes.set_ylabel(metric_title(metric))


def trained(benchmark: Benchmark, found: Sequence[Point]) -> list[Point]:
    """Returns the points but those of the untouched backbone, which may store a head; 0 weights are drawn at 1."""
    return [point._replace(x=max(point.x, 1)) for point in found if point.label in benchmark.looks]


def pareto(found: Sequence[Point], direction: int) -> list[Point]:
    """Returns the points that none with as little stored is better than, from the least stored on."""
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.x, -direction * p.y)):
        if not front or direction * point.y > direction * front[-1].y:
            front.append(point)
    return front
