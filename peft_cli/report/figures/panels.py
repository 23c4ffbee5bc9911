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

WIDTH, HEIGHT = 1.85, 1.6  # of a panel, in inches
LEFT, RIGHT, TOP, BOTTOM = 0.5, 0.12, 0.3, 0.45  # around a panel
LETTER, LINE = 0.068, 0.17  # of text, in inches
NICE = (1, 2, 5, 10)  # steps between labels, times a power of ten
LEGEND_MARK, WIDEST_LABEL, WIDEST_TITLE = 0.45, 30, 34  # inches; characters; characters


def panels(
    titles: Sequence[str], legend: Mapping[str, Look], across: int = 3, has_lines: bool = False, extra: str = ""
) -> tuple[Figure, list[Axes]]:
    """A figure with an empty panel for each title; `extra` is a legend entry for a thin grey line."""
    names = {fill(label, WIDEST_LABEL): look for label, look in legend.items()}
    longest = max((len(line) for name in [*names, extra] for line in name.split("\n")), default=0)
    n_lines = sum(name.count("\n") + 1 for name in [*names, *([extra] if extra else [])])
    rows = -(-len(titles) // across)
    columns = -(-len(titles) // rows)
    width = columns * (LEFT + WIDTH + RIGHT) + LEGEND_MARK + longest * LETTER
    height = max(rows * (TOP + HEIGHT + BOTTOM), n_lines * LINE + 2 * LINE)
    with rc_context(lettering()):
        figure = Figure((width, height))
        axes = [panel(figure, i // columns, i % columns, title) for i, title in enumerate(titles)]
        marks = [Line2D([], [], **(look.line if has_lines else look.point)) for look in names.values()]
        if extra:
            marks.append(Line2D([], [], color=GREY, linewidth=1, linestyle=":"))
        figure.legend(marks, [*names, *([extra] if extra else [])], loc="center left", frameon=False, handlelength=2.6,
                      bbox_to_anchor=(columns * (LEFT + WIDTH + RIGHT) / width, 0.5), borderaxespad=0)  # fmt: skip
    return figure, axes


def panel(figure: Figure, row: int, column: int, title: str) -> Axes:
    """One panel, counted from the top left."""
    width, height = figure.get_size_inches()
    left = LEFT + column * (LEFT + WIDTH + RIGHT)
    top = height - TOP - row * (TOP + HEIGHT + BOTTOM)
    axes = figure.add_axes((left / width, (top - HEIGHT) / height, WIDTH / width, HEIGHT / height))
    axes.set_title(fill(title, WIDEST_TITLE), fontsize=8, y=1)  # a place of its own is not looked for
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=NICE))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=NICE))
    return axes


def scatter(axes: Axes, found: Sequence[Point], looks: Mapping[str, Look]) -> None:
    """A marker for each point, with its interval as a line."""
    ends = [(point.y - (point.half or 0), point.y + (point.half or 0)) for point in found]
    colours = [looks[point.label].colour for point in found]
    axes.vlines([p.x for p in found], *zip(*ends, strict=True), colors=colours, linewidth=1)
    for point in found:
        axes.plot(point.x, point.y, **looks[point.label].point)


def logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """A log axis with at most five labels, at powers of ten or, over less than two of them, at 1, 2, 5."""
    low, high = min(values), max(values)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.6, high * 1.6)
    decades = [10.0**k for k in range(-4, 14)]
    inside = [tick for tick in decades if low / 1.6 <= tick <= high * 1.6]
    if len(inside) < 3:
        inside = [m * d for d in decades for m in (1, 2, 5) if low / 1.6 <= m * d <= high * 1.6]
    axes.set_xticks(inside[:: -(-len(inside) // 5)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(value)))


def brief(value: float) -> str:
    """20000 as 20k, 3554304 as 3.6M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.2g}{letter}" if value < 99.5 * unit else f"{value / unit:.0f}{letter}"
    return f"{value:g}"
