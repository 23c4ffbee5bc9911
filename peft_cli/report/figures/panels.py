"""Panels of one size in a grid, with one legend at the right; matplotlib's constrained layout keeps texts apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from peft_cli.report.figures.style import GREY, Look, Point
from peft_cli.run_folder.files import one_line

WIDTH, HEIGHT, HIGHEST = 1.85, 1.6, 1.5  # of a panel, in inches; beside a long legend so many times as high as wide
ALONE = 1.6  # times as large is a panel that has no other beside it
LEFT, AROUND = 0.62, 0.75  # of a panel's own texts, in inches: at its left, above and below
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
    dashes: Mapping[str, Any] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Returns a figure with an empty panel for each title; `dashes` are the grey lines that its legend names."""
    marks = [Line2D([], [], **(look.line if has_lines else look.point)) for look in legend.values()]
    marks += [Line2D([], [], color=GREY, linewidth=1, linestyle=dash) for dash in (dashes or {}).values()]
    names = [wrap(name, WIDEST_LABEL) for name in (*legend, *(dashes or {}))]
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    n_lines = sum(name.count("\n") + 1 for name in names)
    rows = -(-len(titles) // across)
    columns = -(-len(titles) // rows)
    size = ALONE if len(titles) == 1 else 1.0
    height = max(rows * (AROUND + size * HEIGHT), n_lines * LINE + 2 * LINE)
    high = min(height, rows * (AROUND + HIGHEST * size * WIDTH))
    figure = Figure((columns * (LEFT + size * WIDTH) + LEGEND_MARK + longest * LETTER, height), layout="constrained")
    figure.get_layout_engine().set(rect=(0, (1 - high / height) / 2, 1, high / height))  # type: ignore[union-attr, call-arg] # it is constrained
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in every[len(titles) :]:
        axes.remove()
    for axes, title in zip(every, titles, strict=False):
        prepare(axes, title)
    figure.legend(marks, names, loc="outside right center", frameon=False, handlelength=2.6, borderaxespad=0)
    return figure, every[: len(titles)]


def wrap(text: str, width: int) -> str:
    """Returns a text in lines; one that begins with an underscore has a space in front, or no legend would show it."""
    return fill(one_line(text), width, initial_indent=" " if text.startswith("_") else "")


def prepare(axes: Axes, title: str) -> None:
    """Gives an empty panel its title, its grid, and few labels."""
    axes.set_title(wrap(title, WIDEST_TITLE), y=1)  # a place of its own is not looked for
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=NICE))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=NICE))


def scatter(axes: Axes, found: Sequence[Point], looks: Mapping[str, Look]) -> None:
    """Draws a marker for each point, with its interval as a line."""
    low, high = ([point.y + sign * (point.half or 0) for point in found] for sign in (-1, 1))
    axes.vlines([p.x for p in found], low, high, colors=[looks[p.label].colour for p in found], linewidth=1)
    for point in found:
        axes.plot(point.x, point.y, **looks[point.label].point)


def side_by_side(found: Sequence[Point]) -> list[Point]:
    """Returns the points from left to right, those with about as large an x apart on a log axis: none hides another."""
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


def set_log_axis(axes: Axes, values: Sequence[float], whole: float | None = None) -> None:
    """Makes x a log axis with at most five labels, at powers of ten or, over less than two of them, at 1, 2, 5.

    Where there is a `whole`, the share that a value is of it is below the value, if need be of fewer values.
    """
    low, high = min(values) / 1.6, max(values) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = [10.0**k for k in range(-4, 16)]
    inside = [tick for tick in decades if low <= tick <= high]
    if len(inside) < 3:
        inside = [m * d for d in decades for m in (1, 2, 5) if low <= m * d <= high]
    most = 3 if whole else 5
    axes.set_xticks(inside[:: -(-len(inside) // most)])
    axes.xaxis.set_minor_locator(NullLocator())
    below = (lambda value: f"\n{100 * value / whole:.2g}%") if whole else (lambda value: "")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shorten(value) + below(value)))


def shorten(value: float) -> str:
    """Returns 20000 as 20k, 3554304 as 3.6M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.2g}{letter}" if value < 99.5 * unit else f"{value / unit:.0f}{letter}"
    return f"{value:g}"
