"""What a report consists of, whatever it is written as: sections of grids, notes and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Cell(NamedTuple):
    """What stands in a place of a grid, and the number it is sorted by."""

    text: str
    value: float | None = None
    is_bold: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of cells; the first column is text, the others are numbers."""

    columns: list[str]
    rows: list[list[Cell]]
    caption: str = ""  # empty where the section's title says it
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
    """A part of the report under one heading."""

    title: str
    grids: list[Grid] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def cells(texts: Sequence[object]) -> list[Cell]:
    """A row of plain cells; a number among them is what its cell is sorted by."""
    return [Cell(str(text), float(text) if isinstance(text, int | float) else None) for text in texts]
