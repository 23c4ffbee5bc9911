"""What a report consists of, whatever format it is written in: sections of grids, notes and figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# control characters, what changes the direction of text, and halves of characters: a terminal would obey them
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def printable(text: object) -> str:
    """Returns a text with U+FFFD in place of each character that a terminal or an encoder cannot print."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def one_line(text: object) -> str:
    """Returns a printable text whose line ends and tabs are single spaces."""
    return " ".join(printable(text).split())


class Cell(NamedTuple):
    """The text of a place in a grid, and the number it is sorted by."""

    text: str
    value: float | None = None
    is_bold: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of cells; the first column is text, the others are numbers."""

    columns: list[str]
    rows: list[list[Cell]]
    caption: str = ""  # empty where the section's title is enough
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A picture as a vector and as pixels."""

    name: str  # of its files
    caption: str
    pdf: bytes
    png: bytes


@dataclass(frozen=True)
class Section:
    """A part of the report under one heading; what stands between backticks in its notes is code."""

    title: str
    grids: list[Grid] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def cells(values: Sequence[object]) -> list[Cell]:
    """Returns a row of plain cells; a number among the values is what its cell is sorted by."""
    return [Cell(str(value), float(value) if isinstance(value, int | float) else None) for value in values]
