"""What a report consists of, whatever format it is written in: sections of grids, notes and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


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
