"""Terminal: tables with lines, as wide as they are, so that a pager or a narrow window cuts no number."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from peft_cli.report.document import Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".txt"
TELLS = "what --format terminal prints"
WIDEST = 4000  # characters; rich would break lines of cells at the window's width


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The sections, one below the other; what is significant has a star."""
    file = StringIO()
    console = Console(file=file, width=WIDEST, color_system=None)
    for section in sections:
        console.print(Text(section.title))
        for grid in section.grids:
            if grid.caption:
                console.print(Text(f"\n  {grid.caption}"))
            console.print(table(grid))
            show(console, grid.notes)
        show(console, section.notes)
        show(console, [f"figures/{figure.name}.png: {figure.caption}" for figure in section.figures])
        console.print()
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def table(grid: Grid) -> Table:
    """A grid as rich draws it."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(grid.columns):
        made.add_column(Text(name), justify="right" if i else "left", no_wrap=True)
    for row in grid.rows:
        made.add_row(*(Text(f"{cell.text} *" if cell.is_bold else cell.text) for cell in row))
    return made


def show(console: Console, notes: Sequence[str]) -> None:
    """A line for each note."""
    for note in notes:
        console.print(Text(f"  - {note}"))
