"""Terminal: tables as wide as they are, so that a pager or a narrow window cuts no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peft_cli.report.document import Cell, Section
from peft_cli.report.formats import text_table
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import one_line

SUFFIX = ".txt"
DESCRIPTION = "what --format terminal prints"


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns the sections, one below the other; what is significant has a star."""
    return "\n\n".join("\n".join(parts(section)) for section in sections)


def parts(section: Section) -> Iterator[str]:
    """Yields heading, tables, notes, the names of figures."""
    yield one_line(section.title)
    for grid in section.grids:
        yield f"\n  {one_line(grid.caption)}\n" if grid.caption else ""
        yield text_table(grid, "simple", text)
        yield "\n".join(["", *map(item, grid.notes)])
    yield from map(item, section.notes)
    yield from (item(f"figures/{figure.name}.png: {figure.caption}") for figure in section.figures)


def item(note: str) -> str:
    """Returns a line of a list."""
    return f"  - {one_line(note)}"


def text(cell: Cell) -> str:
    """Returns the text of a cell."""
    return f"{one_line(cell.text)} *" if cell.is_bold else one_line(cell.text)
