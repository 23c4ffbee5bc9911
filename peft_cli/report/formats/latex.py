"""LaTeX: one document with booktabs tables that compiles as it is; figures from figures/ beside it.

The tables are tabulate's and not pandas': a Styler ends rows with a command that would take a cell in brackets for its
argument, and escapes neither that nor what pdflatex has no letter for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tabulate import DataRow, Line, TableFormat

from peft_cli.report.document import Cell, Grid, Section
from peft_cli.report.formats import text_table
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import one_line

SUFFIX = ".tex"
ROWS_OF_A_PAGE = 40
DESCRIPTION = "a LaTeX document"
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
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
LETTERS = set("ĂăĄąĆćČčĎďĘęĚěĞğŁłŃńŇňŐőŒœŘřŚśŠšŞşŤťŮůŰűŹźŻżŽž")  # beyond Latin-1, of T1's
ROW = DataRow("", " & ", r" \tabularnewline")  # unlike \\, it takes no argument, whatever the next cell begins with
BOOKTABS = TableFormat(
    lineabove=Line(r"\toprule", "", "", ""), linebelowheader=Line(r"\midrule", "", "", ""), linebetweenrows=None,
    linebelow=Line(r"\bottomrule", "", "", ""), headerrow=ROW, datarow=ROW, padding=0, with_header_hide=None,
)  # fmt: skip


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns the document."""
    body = "\n\n".join("\n".join(parts(section)) for section in sections)
    return f"{HEAD}\n{body}\n\n\\end{{document}}\n"


def parts(section: Section) -> Iterator[str]:
    """Yields heading, tables, notes, figures."""
    yield f"\\section*{{{escape(section.title)}}}"
    for grid in section.grids:
        yield from tables(grid)
        yield items(grid.notes)
    yield items(section.notes)
    for figure in section.figures:
        yield f"\n\\begin{{center}}\n\\fitting{{\\includegraphics{{figures/{figure.name}.pdf}}}}\n"
        yield f"\\smallskip\\small {escape(figure.caption)}\n\\end{{center}}\n"


def tables(grid: Grid) -> Iterator[str]:
    """Yields a grid as tables that fit a page, under its caption."""
    columns = "l" + "r" * (len(grid.columns) - 1)
    for start in range(0, len(grid.rows), ROWS_OF_A_PAGE):
        caption = f"{escape(grid.caption)}{' (continued)' if start else ''}"
        title = f"\\textbf{{{caption}}}\\par\\smallskip\n" if grid.caption else ""
        body = text_table(Grid(grid.columns, grid.rows[start : start + ROWS_OF_A_PAGE]), BOOKTABS, text)
        tabular = f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}"
        yield f"\\begin{{center}}\n{title}\\fitting{{{tabular}}}\n\\end{{center}}"


def text(cell: Cell) -> str:
    """Returns the text of a cell, with a minus that is no hyphen."""
    words = re.sub(r"(?<!\w)-(?=\d)", "$-$", escape(cell.text))
    return f"\\textbf{{{words}}}" if cell.is_bold else words


def escape(words: str) -> str:
    """Returns words as LaTeX prints them; what pdflatex's fonts have no letter for becomes its code point."""
    return "".join(map(escape_sign, one_line(words)))


def escape_sign(sign: str) -> str:
    """Returns a character as LaTeX prints it."""
    is_letter = sign.isascii() or (sign.isalpha() and "À" <= sign <= "ÿ") or sign in LETTERS
    return SPECIAL.get(sign, sign if is_letter else f"U+{ord(sign):04X}")


def items(notes: Sequence[str]) -> str:
    """Returns a list in small print; what stands between backticks is typewriter, and long words may break anywhere."""
    if not notes:
        return ""
    escaped = (re.sub("`([^`]*)`", r"\\texttt{\1}", escape(note)) for note in notes)
    listed = "\n".join(f"\\item {{}}{note}" for note in escaped)
    return f"{{\\footnotesize\\sloppy\n\\begin{{itemize}}\\setlength{{\\itemsep}}{{0pt}}\n{listed}\n\\end{{itemize}}}}"
