"""LaTeX: one document with booktabs tables that compiles as it is; figures from figures/ beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from peft_cli.report.document import Cell, Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".tex"
ROWS_OF_A_PAGE = 40
TELLS = "a LaTeX document"
HEAD = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{} % letters as outlines
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx}
\setlength{\parindent}{0pt}
% a table or figure that is wider than the text becomes as wide as it
\newsavebox{\wide}
\newcommand{\fitting}[1]{\sbox{\wide}{#1}\ifdim\wd\wide>\linewidth\resizebox{\linewidth}{!}{\usebox{\wide}}\else\usebox{\wide}\fi}
\begin{document}
"""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "·": r"$\cdot$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The document."""
    body = "\n\n".join("\n".join(parts(section)) for section in sections)
    return f"{HEAD}\n{body}\n\n\\end{{document}}\n"


def parts(section: Section) -> Iterator[str]:
    """Heading, tables, notes, figures."""
    yield f"\\section*{{{escaped(section.title)}}}"
    for grid in section.grids:
        yield from tables(grid)
        yield listed(grid.notes)
    yield listed(section.notes)
    for figure in section.figures:
        yield f"\n\\begin{{center}}\n\\fitting{{\\includegraphics{{figures/{figure.name}.pdf}}}}\n"
        yield f"\\smallskip\\small {escaped(figure.caption)}\n\\end{{center}}\n"


def tables(grid: Grid) -> Iterator[str]:
    """A grid as tables that fit a page, under its caption."""
    for start in range(0, len(grid.rows), ROWS_OF_A_PAGE):
        caption = f"{grid.caption}{' (continued)' if start else ''}" if grid.caption else ""
        yield table(grid.columns, grid.rows[start : start + ROWS_OF_A_PAGE], caption)


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A booktabs table; rows end with a command that takes no argument, whatever the next cell begins with."""
    title = f"\\textbf{{{escaped(caption)}}}\\par\\smallskip\n" if caption else ""
    head, *lines = (
        " & ".join(texts) + r" \tabularnewline" for texts in [map(escaped, columns), *(map(text, row) for row in rows)]
    )
    layout = "l" + "r" * (len(columns) - 1)
    body = "\n".join([r"\toprule", head, r"\midrule", *lines, r"\bottomrule"])
    tabular = f"\\begin{{tabular}}{{{layout}}}\n{body}\n\\end{{tabular}}"
    return f"\\begin{{center}}\n{title}\\fitting{{{tabular}}}\n\\end{{center}}"


def text(cell: Cell) -> str:
    """What stands in a cell, with a minus that is no hyphen."""
    words = re.sub(r"(?<!\w)-(?=\d)", "$-$", escaped(cell.text))
    return f"\\textbf{{{words}}}" if cell.is_bold else words


def escaped(words: str) -> str:
    """`words` as LaTeX prints them; what pdflatex's fonts have not got becomes its code point."""
    made = "".join(
        SPECIAL.get(c, c if c.isascii() or (c.isalpha() and ord(c) < 0x180) else f"U+{ord(c):04X}") for c in words
    )
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", made)


def listed(notes: Sequence[str]) -> str:
    """A list in small print; long words may break anywhere."""
    if not notes:
        return ""
    items = "\n".join(f"\\item {{}}{escaped(note)}" for note in notes)
    return f"{{\\footnotesize\\sloppy\n\\begin{{itemize}}\\setlength{{\\itemsep}}{{0pt}}\n{items}\n\\end{{itemize}}}}"
