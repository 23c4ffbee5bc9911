"""Performance against shots with intervals, a panel for each data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from peft_cli.report.figures.panels import brief, panels
from peft_cli.report.figures.places import Place, Point, places, points
from peft_cli.report.figures.style import GREY, Look, looks, titled
from peft_cli.report.tables import Table

BEYOND = 3.0  # times the most shots: where all training examples are drawn
MOST_BANDS = 6  # of more lines the bands would hide each other: each gets bars, beside those of the others
SPREAD = 0.3  # of the narrowest gap between numbers of shots, over which the bars of one of them spread


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A figure for each backbone and metric that has several numbers of shots."""
    groups: dict[str, list[Place]] = defaultdict(list)
    for place in places(tables):
        if len(place.tables) > 1:
            groups[place.tables[0].backbone].append(place)
    for backbone, group in groups.items():
        methods = {label: row.method for place in group for rows in place.rows for label, row in rows if row.method}
        shown = looks({label: methods[label] for place in group for label in place.looks})
        for metric in dict.fromkeys(metric for place in group for metric in place.metrics(metrics)):
            figure, axes = panels([place.title for place in group], shown, has_lines=True, dashes=group[0].floor)
            for one, place in zip(axes, group, strict=True):
                fill(one, place, shown, metric)
            means = " or ".join(dict.fromkeys(place.means for place in group))
            kind = "bands" if len(shown) <= MOST_BANDS else "bars, side by side"
            text = f"{titled(metric)} against training examples with {backbone}: {means}, {kind}: 95 % t-intervals"
            yield f"{group[0].title if len(group) == 1 else backbone}-{metric}", text, figure


def fill(axes: Axes, place: Place, shown: Mapping[str, Look], metric: str) -> None:
    """A line with its intervals for each label."""
    known = [table.shots for table in place.tables if table.shots]
    ends = {None: BEYOND * max(known, default=1)}
    lines: dict[str, list[tuple[float, Point]]] = defaultdict(list)
    for table, group in zip(place.tables, place.rows, strict=True):
        for point in points(group, metric, "stored"):
            lines[point.label].append((ends.get(table.shots, table.shots), point))
    ticks = {ends.get(table.shots, table.shots): table.shots for table in place.tables if table.shots != 0}
    aside = shifts(list(shown), list(ticks))
    for label, line in lines.items():
        if label in shown:
            draw_line(axes, [(shots * aside[label], point) for shots, point in line], shown[label], len(shown))
        else:
            axes.axhline(line[0][1].y, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), ["all" if shots is None else brief(shots) for shots in ticks.values()])
    axes.set_xlabel("training examples", fontsize=8)
    axes.set_ylabel(titled(metric), fontsize=8)
    values = [point.y for line in lines.values() for _, point in line]
    gap = 0.15 * (max(values) - min(values) + 1)
    axes.set_ylim(max(0.0, min(values) - gap) if min(values) >= 0 else min(values) - gap, max(values) + gap)


def shifts(labels: Sequence[str], ticks: Sequence[float]) -> dict[str, float]:
    """The factor by which each label's points stand beside a number of shots; 1 where bands need no room."""
    if len(labels) <= MOST_BANDS or len(ticks) < 2:
        return dict.fromkeys(labels, 1.0)
    narrowest = min(b / a for a, b in pairwise(sorted(ticks)))
    middle = (len(labels) - 1) / 2
    return {label: narrowest ** (SPREAD * (i - middle) / len(labels)) for i, label in enumerate(labels)}


def draw_line(axes: Axes, line: Sequence[tuple[float, Point]], look: Look, n_lines: int) -> None:
    """A label's means, joined, with a band or bars."""
    x, y, half = zip(*((at, point.y, point.half or 0.0) for at, point in line), strict=True)
    low, high = ([m + s * h for m, h in zip(y, half, strict=True)] for s in (-1, 1))
    if n_lines <= MOST_BANDS:
        axes.plot(x, y, **look.line)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    else:
        axes.plot(x, y, **look.line | {"linewidth": 0.9, "markersize": 4})
        axes.vlines(x, low, high, color=look.colour, linewidth=0.8, alpha=0.6)
