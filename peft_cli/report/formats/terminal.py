"""Terminal: tables with lines, as wide as they are, so that a pager or a narrow window cuts no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peft_cli.report.document import Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".txt"
TELLS = "what --format terminal prints"
GAP = "   "


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The sections, one below the other; what is significant has a star."""
    return "\n\n".join("\n".join(parts(section)) for section in sections)


def parts(section: Section) -> Iterator[str]:
    """Heading, tables, notes, the names of figures."""
    yield section.title
    for grid in section.grids:
        yield from ["", f"  {grid.caption}", ""] if grid.caption else [""]
        yield from table(grid)
        yield from ["", *listed(grid.notes)]
    yield from listed(section.notes)
    yield from listed([f"figures/{figure.name}.png: {figure.caption}" for figure in section.figures])


def table(grid: Grid) -> Iterator[str]:
    """A line for each row, under the names of the columns; what comes after the first column ends at the right."""
    lines = [grid.columns, *([f"{cell.text} *" if cell.is_bold else cell.text for cell in row] for row in grid.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for i, (first, *others) in enumerate(lines):
        ends = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield f" {GAP.join([first.ljust(widths[0]), *ends])}".rstrip()
        if i == 0:
            yield f" {'─' * (sum(widths) + len(GAP) * (len(widths) - 1))}"


def listed(notes: Sequence[str]) -> Iterator[str]:
    """A line for each note."""
    return (f"  - {note}" for note in notes)
