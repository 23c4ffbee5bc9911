"""How methods look, the same in every figure of a report: a colour, a marker and a dash that differ in grey too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from matplotlib.axes import Axes
from matplotlib.typing import RcKeyType

from peft_cli.config.options import options
from peft_cli.run_folder.files import one_line

# Okabe and Ito (2008) without yellow, which paper swallows, and two of Tol's; 9 colours, 13 markers and 5 dashes have
# no common factor, so each of 585 numbers has a look of its own
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#882255", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2)))
SIZES = (len(COLOURS), len(MARKERS), len(DASHES))
N_LOOKS = len(COLOURS) * len(MARKERS) * len(DASHES)
FILLS = ("full", "none", "left", "top", "right", "bottom")  # of the markers of variants of one method
GREY = "0.55"
MOST_BANDS = 3  # of more lines the bands would hide each other: each gets bars
MOST_MARKS = 8  # of a line, or a few more
NAMES = {"bleu": "BLEU", "nist": "NIST", "meteor": "METEOR", "cider": "CIDEr", "ter": "TER", "chrf": "chrF"}
SETTINGS: dict[RcKeyType, Any] = {  # of matplotlib, whatever a user's own file has
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,  # journals refuse matplotlib's own choice, type 3
    "text.usetex": False,
    "text.parse_math": False,  # a dollar sign in a name is one
}


class Look(NamedTuple):
    """The look of one row of a table."""

    colour: str
    marker: str
    dash: Any
    fill: str

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of matplotlib's plot."""
        face = {} if self.fill != "none" else {"markerfacecolor": "white"}
        fill = {"fillstyle": "full" if self.fill == "none" else self.fill, "markerfacecoloralt": "white", **face}
        line = {"color": self.colour, "linestyle": self.dash, "linewidth": 1.3}
        return line | {"marker": self.marker, "markersize": 5} | fill

    @property
    def point(self) -> dict[str, Any]:
        """The same without a line between points."""
        return self.line | {"linestyle": "none", "markersize": 6}


def assign_looks(methods: Iterable[str]) -> dict[str, int]:
    """Returns the number of the look of each method: its place in conf/method, or else the next one that is distinct.

    Distinct means another colour, marker and dash than the methods before it, as far as there are enough.
    """
    names, numbers = list(options("method")), dict[str, int]()
    for method in sorted(set(methods)):
        first = names.index(method) if method in names else crc32(method.encode("utf-8", "replace")) % N_LOOKS
        taken = list(numbers.values())
        likenesses = [sum(likeness(i, other) for other in taken) for i in range(first, first + N_LOOKS)]
        numbers[method] = first + likenesses.index(min(likenesses))
    return numbers


def likeness(one: int, other: int) -> int:
    """Returns how alike two looks are: the square of how many of colour, marker and dash they share."""
    return sum((one - other) % n == 0 for n in SIZES) ** 2


def looks(methods: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, Look]:
    """Returns the look of each label of a method; variants of a method differ in how the marker is filled."""
    seen: dict[str, int] = {}
    found = {}
    for label, method in methods.items():
        colour, marker, dash = (kind[numbers[method] % len(kind)] for kind in (COLOURS, MARKERS, DASHES))
        variant = seen[method] = seen.get(method, -1) + 1
        found[label] = Look(str(colour), str(marker), dash, FILLS[variant % len(FILLS)])
    return found


class Point(NamedTuple):
    """A row of a table: a cost, the mean of a score, and half its interval."""

    label: str
    x: float
    y: float
    half: float | None


class Series(NamedTuple):
    """A line of a panel: its points, and the ends of what is drawn around them."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def draw_series(axes: Axes, series: Mapping[str, Series], looks: Mapping[str, Look]) -> None:
    """Draws the line of each label; around few lines bands, on many lines bars at points of their own."""
    for i, (label, (x, y, low, high)) in enumerate(series.items()):
        look, every = looks[label], max(1, len(x) // MOST_MARKS)
        at = slice(i * every // len(series), None, every)
        if len(series) <= MOST_BANDS:
            axes.plot(x, y, **look.line, markevery=at)
            axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
        else:
            axes.plot(x, y, **look.line | {"linewidth": 0.9, "markersize": 4}, markevery=at)
            axes.vlines(x[at], low[at], high[at], colors=look.colour, linewidth=0.8, alpha=0.6)


def metric_title(metric: str) -> str:
    """Returns a metric's name as papers write it; an uncommon one stays as it is typed."""
    stem, _, part = one_line(metric).partition("_")
    if stem.startswith("rouge"):
        return f"ROUGE-{(stem.removeprefix('rouge') or part).upper()}"
    return " ".join(filter(None, [NAMES.get(stem, stem), part]))
