"""Markdown: pipe tables under headings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from peft_cli.report.document import Cell, Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".md"
TELLS = "Markdown"


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The sections, one below the other; figures by the names of their files."""
    return "\n\n".join("\n\n".join(parts(section)) for section in sections)


def parts(section: Section) -> Iterator[str]:
    """Heading, tables, notes, figures."""
    yield f"## {section.title}"
    for one in section.grids:
        if one.caption:
            yield f"### {one.caption}"
        yield grid(one)
        if one.notes:
            yield listed(one.notes)
    if section.notes:
        yield listed(section.notes)
    for figure in section.figures:
        yield f"![{figure.caption}](figures/{figure.name}.png)\n\n*{figure.caption}*"


def grid(one: Grid) -> str:
    """A pipe table."""
    align = ["left", *["right"] * (len(one.columns) - 1)]
    lines = [[text(cell) for cell in row] for row in one.rows]
    columns = [escaped(name) for name in one.columns]
    return tabulate(lines, columns, tablefmt="pipe", colalign=align if lines else None, disable_numparse=True)


def text(cell: Cell) -> str:
    """What stands in a cell."""
    return f"**{escaped(cell.text)}**" if cell.is_bold else escaped(cell.text)


def escaped(words: str) -> str:
    """`words` without the bar that would end a cell."""
    return words.replace("|", "\\|")


def listed(notes: Sequence[str]) -> str:
    """A list with a dash before each note."""
    return "\n".join(f"- {note}" for note in notes)
