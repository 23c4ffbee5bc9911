"""Performance against shots with bands, a panel for each data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from peft_cli.report.figures.panels import brief, panels
from peft_cli.report.figures.places import Place, Point, places, points
from peft_cli.report.figures.style import GREY, looks, titled
from peft_cli.report.tables import Table

BEYOND = 3.0  # times the most shots: where all training examples are drawn


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
            text = f"{titled(metric)} against training examples with {backbone}: {means}, bands: 95 % t-intervals"
            yield f"{backbone}-{metric}", text, figure


def fill(axes: Axes, place: Place, shown: dict, metric: str) -> None:
    """A line with its band for each label."""
    known = [table.shots for table in place.tables if table.shots]
    ends = {None: BEYOND * max(known, default=1)}
    lines: dict[str, list[tuple[float, Point]]] = defaultdict(list)
    for table, group in zip(place.tables, place.rows, strict=True):
        for point in points(group, metric, "stored"):
            lines[point.label].append((ends.get(table.shots, table.shots), point))
    for label, line in lines.items():
        if label not in shown:
            axes.axhline(line[0][1].y, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
            continue
        x, y, half = zip(*((shots, point.y, point.half or 0.0) for shots, point in line), strict=True)
        axes.plot(x, y, **shown[label].line)
        low, high = ([m + s * h for m, h in zip(y, half, strict=True)] for s in (-1, 1))
        axes.fill_between(x, low, high, color=shown[label].colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    ticks = {ends.get(table.shots, table.shots): table.shots for table in place.tables if table.shots != 0}
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), ["all" if shots is None else brief(shots) for shots in ticks.values()])
    axes.set_xlabel("training examples", fontsize=8)
    axes.set_ylabel(titled(metric), fontsize=8)
    values = [point.y for line in lines.values() for _, point in line]
    gap = 0.15 * (max(values) - min(values) + 1)
    axes.set_ylim(max(0.0, min(values) - gap) if min(values) >= 0 else min(values) - gap, max(values) + gap)
