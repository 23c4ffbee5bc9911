"""Markdown: pipe tables under headings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """A pipe table; what comes after the first column ends at the right."""
    lines = [list(map(escaped, one.columns)), *(list(map(text, row)) for row in one.rows)]
    widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]
    lines = [[first.ljust(widths[0]), *map(str.rjust, others, widths[1:])] for first, *others in lines]
    lines.insert(1, [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text(cell: Cell) -> str:
    """What stands in a cell."""
    return f"**{escaped(cell.text)}**" if cell.is_bold else escaped(cell.text)


def escaped(words: str) -> str:
    """`words` without the bar that would end a cell."""
    return words.replace("|", "\\|")


def listed(notes: Sequence[str]) -> str:
    """A list with a dash before each note."""
    return "\n".join(f"- {note}" for note in notes)
