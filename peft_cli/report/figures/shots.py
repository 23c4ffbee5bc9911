"""Performance against shots with intervals, a panel for each data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from peft_cli.report.figures.benchmarks import Benchmark, benchmarks, points
from peft_cli.report.figures.panels import panels, shorten
from peft_cli.report.figures.style import GREY, MOST_BANDS, Look, Point, Series, draw_series, looks, metric_title
from peft_cli.report.measures import STORED
from peft_cli.report.tables import Table

BEYOND = 3.0  # times the most shots: where all training examples are drawn
SPREAD = 0.3  # of the narrowest gap between numbers of shots, over which the bars of one of them spread


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a figure for each backbone and metric that has several numbers of shots."""
    groups: dict[str, list[Benchmark]] = defaultdict(list)
    for benchmark in benchmarks(tables):
        if len(benchmark.tables) > 1:
            groups[benchmark.tables[0].backbone].append(benchmark)
    for backbone, group in groups.items():
        methods = {label: row.method for benchmark in group for label, row in benchmark.trained.items()}
        shown = looks(methods, group[0].look_numbers)
        for metric in dict.fromkeys(metric for benchmark in group for metric in benchmark.metrics(chosen)):
            titles = [benchmark.title for benchmark in group]
            figure, axes = panels(titles, shown, has_lines=True, dashes=group[0].untouched)
            for one, benchmark in zip(axes, group, strict=True):
                draw_panel(one, benchmark, shown, metric)
            means = " or ".join(dict.fromkeys(benchmark.means for benchmark in group))
            kind = "bands" if len(shown) <= MOST_BANDS else "bars, side by side"
            text = (
                f"{metric_title(metric)} against training examples with {backbone}: {means}, {kind}: 95 % t-intervals"
            )
            yield f"{titles[0] if len(group) == 1 else backbone}-{metric}", text, figure


def draw_panel(axes: Axes, benchmark: Benchmark, shown: Mapping[str, Look], metric: str) -> None:
    """Draws a line with its intervals for each label."""
    beyond = BEYOND * max((table.shots for table in benchmark.tables if table.shots), default=1)
    lines: dict[str, list[tuple[float, Point]]] = defaultdict(list)
    ticks: dict[float, str] = {}
    for table, group in zip(benchmark.tables, benchmark.rows, strict=True):
        at = beyond if table.shots is None else table.shots
        ticks[at] = "all" if table.shots is None else shorten(table.shots)
        for point in points(group, metric, STORED):
            lines[point.label].append((at, point))
    aside = shifts(list(shown), list(ticks))
    series = {}
    for label, line in lines.items():
        places, found = zip(*line, strict=True)
        if label in shown:
            low, high = ([point.y + sign * (point.half or 0.0) for point in found] for sign in (-1, 1))
            series[label] = Series([x * aside[label] for x in places], [point.y for point in found], low, high)
        else:
            axes.axhline(found[0].y, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    draw_series(axes, series, shown)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("training examples")
    axes.set_ylabel(metric_title(metric))
    values = [point.y for line in lines.values() for _, point in line]
    if values:
        gap = 0.15 * (max(values) - min(values)) or 1.0
        axes.set_ylim(max(0.0, min(values) - gap) if min(values) >= 0 else min(values) - gap, max(values) + gap)


def shifts(labels: Sequence[str], ticks: Sequence[float]) -> dict[str, float]:
    """Returns the factor by which each label's points are beside a number of shots; 1 where bands need no room."""
    if len(labels) <= MOST_BANDS or len(ticks) < 2:
        return dict.fromkeys(labels, 1.0)
    narrowest = min(b / a for a, b in pairwise(sorted(ticks)))
    middle = (len(labels) - 1) / 2
    return {label: narrowest ** (SPREAD * (i - middle) / len(labels)) for i, label in enumerate(labels)}
