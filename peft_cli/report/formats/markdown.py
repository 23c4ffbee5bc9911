"""Markdown: pipe tables under headings, as GitHub shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from peft_cli.report.document import Cell, Section
from peft_cli.report.formats import text_table
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import one_line

SUFFIX = ".md"
DESCRIPTION = "Markdown"
CODE = re.compile("(`[^`]+`)")
SPECIAL = re.compile(r"[\\`*\[\]<>|$~#]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")  # not an underscore inside of a word
OPENING = re.compile(r"^(\d*)([-+.)])")  # what begins an inner list


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns the sections, one below the other; figures by the names of their files."""
    return "\n\n".join(part for section in sections for part in parts(section) if part)


def parts(section: Section) -> Iterator[str]:
    """Yields heading, tables, notes, figures."""
    yield f"## {escape(section.title)}"
    for grid in section.grids:
        yield f"### {escape(grid.caption)}" if grid.caption else ""
        yield text_table(grid, "pipe", text)
        yield bullets(grid.notes)
    yield bullets(section.notes)
    for figure in section.figures:
        yield f"![{escape(figure.caption)}](figures/{figure.name}.png)\n\n*{escape(figure.caption)}*"


def text(cell: Cell) -> str:
    """Returns the text of a cell."""
    return f"**{escape(cell.text)}**" if cell.is_bold else escape(cell.text)


def escape(words: str) -> str:
    """Returns words that Markdown shows as they are."""
    return SPECIAL.sub(r"\\\g<0>", one_line(words))


def bullets(notes: Sequence[str]) -> str:
    """Returns a list of notes; what stands between backticks is code."""
    return "\n".join(f"- {bullet(one_line(note))}" for note in notes)


def bullet(note: str) -> str:
    """Returns a note with its code as it is and the rest escaped."""
    parts = CODE.split(note)
    escaped = "".join(part if i % 2 else SPECIAL.sub(r"\\\g<0>", part) for i, part in enumerate(parts))
    return OPENING.sub(r"\1\\\2", escaped)
