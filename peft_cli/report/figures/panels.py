"""Panels of one size in a grid, with one legend at the right, laid out in inches: nothing overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from peft_cli.report.figures.places import Point
from peft_cli.report.figures.style import GREY, Look, lettering

WIDTH, HEIGHT, HIGHEST = 1.85, 1.6, 1.5  # of a panel, in inches; beside a long legend so many times as high as wide
ALONE = 1.6  # times as large is a panel that has no other beside it
LEFT, RIGHT, TOP, BOTTOM = 0.5, 0.12, 0.3, 0.45  # around a panel
LETTER, LINE = 0.068, 0.17  # of text, in inches
APART, CLOSE = 1.25, 1.1  # the factor between points that would hide each other, and up to which they would
WIDEST_SHARE = 0.58  # inches, of "0.0028%" and a gap
NICE = (1, 2, 5, 10)  # steps between labels, times a power of ten
LEGEND_MARK, WIDEST_LABEL, WIDEST_TITLE = 0.5, 30, 34  # inches; characters; characters


def panels(
    titles: Sequence[str],
    legend: Mapping[str, Look],
    across: int = 3,
    has_lines: bool = False,
    bottom: float = BOTTOM,
    dashes: Mapping[str, str] | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure with an empty panel for each title; `dashes` are the grey lines that its legend names."""
    names = {fill(label, WIDEST_LABEL): look for label, look in legend.items()}
    grey = dashes or {}
    every = [*names, *grey]
    longest = max((len(line) for name in every for line in name.split("\n")), default=0)
    n_lines = sum(name.count("\n") + 1 for name in every)
    rows = -(-len(titles) // across)
    columns = -(-len(titles) // rows)
    size = ALONE if len(titles) == 1 else 1.0
    height = max(rows * (TOP + size * HEIGHT + bottom), n_lines * LINE + 2 * LINE)
    wide, high = size * WIDTH, min(height / rows - TOP - bottom, HIGHEST * size * WIDTH)
    cell = LEFT + wide + RIGHT
    width = columns * cell + LEGEND_MARK + longest * LETTER
    with rc_context(lettering()):
        figure = Figure((width, height))
        axes = []
        for i, title in enumerate(titles):
            left, low = LEFT + i % columns * cell, height - (i // columns + 1) * (TOP + high + bottom) + bottom
            axes.append(panel(figure, (left / width, low / height, wide / width, high / height), title))
        marks = [Line2D([], [], **(look.line if has_lines else look.point)) for look in names.values()]
        marks += [Line2D([], [], color=GREY, linewidth=1, linestyle=dash) for dash in grey.values()]
        figure.legend(marks, every, loc="center left", frameon=False, handlelength=2.6,
                      bbox_to_anchor=(columns * cell / width, 0.5), borderaxespad=0)  # fmt: skip
    return figure, axes


def panel(figure: Figure, place: tuple[float, float, float, float], title: str) -> Axes:
    """One panel at (left, bottom, width, height), in parts of the figure's."""
    axes = figure.add_axes(place)
    axes.set_title(fill(title, WIDEST_TITLE), fontsize=8, y=1)  # a place of its own is not looked for
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=NICE))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=NICE))
    return axes


def scatter(axes: Axes, found: Sequence[Point], looks: Mapping[str, Look]) -> None:
    """A marker for each point, with its interval as a line."""
    ends = [(point.y - (point.half or 0), point.y + (point.half or 0)) for point in found]
    colours = [looks[point.label].colour for point in found]
    axes.vlines([p.x for p in found], *zip(*ends, strict=True), colors=colours, linewidth=1)
    for point in found:
        axes.plot(point.x, point.y, **looks[point.label].point)


def side_by_side(found: Sequence[Point]) -> list[Point]:
    """The points from left to right, those with about as large an x moved apart on a log axis: none hides another."""
    groups: list[list[Point]] = []
    for point in sorted(found, key=lambda point: point.x):
        if groups and point.x <= CLOSE * groups[-1][0].x:
            groups[-1].append(point)
        else:
            groups.append([point])
    return [
        point._replace(x=group[0].x * APART ** (i - (len(group) - 1) / 2)) for group in groups
        for i, point in enumerate(group)
    ]  # fmt: skip


def logarithmic(axes: Axes, values: Sequence[float], whole: float | None = None) -> None:
    """A log axis with at most five labels, at powers of ten or, over less than two of them, at 1, 2, 5.

    Where `whole` is told, the share that a value is of it stands below the value, if need be of fewer values.
    """
    low, high = min(values) / 1.6, max(values) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = [10.0**k for k in range(-4, 14)]
    inside = [tick for tick in decades if low <= tick <= high]
    if len(inside) < 3:
        inside = [m * d for d in decades for m in (1, 2, 5) if low <= m * d <= high]
    wide = axes.figure.get_figwidth() * axes.get_position().width
    most = min(5, int(wide / WIDEST_SHARE)) if whole else 5
    axes.set_xticks(inside[:: -(-len(inside) // most)])
    axes.xaxis.set_minor_locator(NullLocator())
    below = (lambda value: f"\n{100 * value / whole:.2g}%") if whole else (lambda value: "")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(value) + below(value)))


def brief(value: float) -> str:
    """20000 as 20k, 3554304 as 3.6M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.2g}{letter}" if value < 99.5 * unit else f"{value / unit:.0f}{letter}"
    return f"{value:g}"
