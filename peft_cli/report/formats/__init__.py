"""The formats of a report. One file for each, with SUFFIX, DESCRIPTION and write(sections, runs) -> text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tabulate import TableFormat, tabulate

from peft_cli.report.document import Cell, Grid, Section
from peft_cli.report.runs import Run


def formats() -> list[str]:
    """Returns the names of all formats: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def format_module(name: str) -> ModuleType:
    """Returns the module of a format."""
    return import_module(f"peft_cli.report.formats.{name}")


def render(name: str, sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns the report in a format, with a line end."""
    return format_module(name).write(sections, runs).rstrip("\n") + "\n"


def text_table(grid: Grid, style: str | TableFormat, write: Callable[[Cell], str]) -> str:
    """Returns a grid in a style of tabulate's; `write` returns the text of a cell, escaped as the style needs it."""
    head, *lines = [[write(cell) for cell in row] for row in [[Cell(name) for name in grid.columns], *grid.rows]]
    sides = ["left", *["right"] * (len(head) - 1)]
    return tabulate(lines, head, tablefmt=style, colalign=sides, disable_numparse=True)
