"""How methods look, the same in every figure: a colour, a marker and a dash that also tell them apart in grey."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from zlib import crc32

from peft_cli.config.check import options
from peft_cli.report.figures.font import font

# Okabe and Ito (2008) without yellow, which paper swallows; 7 colours, 13 markers and 5 dashes have no common factor
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2)))
FILLS = ("full", "none", "left", "top", "right", "bottom")  # variants of one method
GREY = "0.55"
NAMES = {"bleu": "BLEU", "nist": "NIST", "meteor": "METEOR", "cider": "CIDEr", "ter": "TER", "chrf": "chrF"}
SIZES = {"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 8}


class Look(NamedTuple):
    """The look of one row of a table."""

    colour: str
    marker: str
    dash: object
    fill: str

    @property
    def line(self) -> dict:
        """What matplotlib's plot takes."""
        face = {} if self.fill != "none" else {"markerfacecolor": "white"}
        fill = {"fillstyle": "full" if self.fill == "none" else self.fill, "markerfacecoloralt": "white", **face}
        line = {"color": self.colour, "linestyle": self.dash, "linewidth": 1.3}
        return line | {"marker": self.marker, "markersize": 5} | fill

    @property
    def point(self) -> dict:
        """The same without a line between points."""
        return self.line | {"linestyle": "none", "markersize": 6}


def lettering() -> dict:
    """The font and sizes of text in figures, as matplotlib's rc_context takes them."""
    return {"font.family": font(), **SIZES}


@cache
def place(method: str) -> int:
    """A number that is a method's alone: its place among conf/method, or one made of an unknown name."""
    names = list(options("method"))
    return names.index(method) if method in names else len(names) + crc32(method.encode()) % 455


def looks(methods: Mapping[str, str]) -> dict[str, Look]:
    """The look of each label of a method; variants of a method differ in how the marker is filled."""
    seen: dict[str, int] = {}
    found = {}
    for label, method in methods.items():
        i, variant = place(method), seen.get(method, 0)
        seen[method] = variant + 1
        fill = FILLS[variant % len(FILLS)]
        found[label] = Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)], fill)
    return found


def titled(metric: str) -> str:
    """A metric's name as papers write it; what is no common one stays as it is typed."""
    stem, _, part = metric.partition("_")
    if stem.startswith("rouge"):
        return f"ROUGE-{(stem.removeprefix('rouge') or part).upper()}"
    return " ".join(filter(None, [NAMES.get(stem, stem), part]))
