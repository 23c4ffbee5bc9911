"""HTML: one page that needs no network: tables that a click on a column sorts, figures inside, at most 2 MB."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape

from peft_cli.report.document import Cell, Figure, Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".html"
TELLS = "one HTML page"
LARGEST = 2_000_000  # bytes of a page; sections and figures that would not fit are named in place of shown
FRAME, NAMED = 20_000, 400  # of them for what is around the sections, and for each whose name alone fits
WITHOUT = "<p>left out: a page has at most 2 MB; other formats have it</p>"
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>peft-report</title>
<style>
{style}</style>
<h1>{n:,} runs</h1>
<nav><ul>{links}</ul></nav>
{text}
<script>
{script}</script>
</html>
"""
STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; } h3 { margin-bottom: .3rem; font-size: 1rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
thead { border-top: 2px solid; border-bottom: 1px solid; } tbody { border-bottom: 2px solid; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tbody tr:hover { background: #f2f5f9; }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
ul { color: #555; font-size: .85rem; } code { font-size: .9em; overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption { color: #555; font-size: .85rem; }
nav { columns: 2; font-size: .9rem; }
@media print { nav { display: none; } body { max-width: none; } }
"""
SCRIPT = """\
function key(cell) { const v = cell.dataset.v; return v === undefined ? null : Number(v); }
function compare(one, other, i, way) {
  const [a, b] = [key(one.cells[i]), key(other.cells[i])];
  if (a !== null && b !== null) return way * (a - b);
  if (a !== null || b !== null) return a === null ? 1 : -1;
  return way * one.cells[i].textContent.localeCompare(other.cells[i].textContent);
}
document.addEventListener("click", event => {
  const button = event.target.closest("th button");
  if (!button) return;
  const head = button.parentElement, table = head.closest("table");
  const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].sort((a, b) => compare(a, b, head.cellIndex, way));
  table.tBodies[0].append(...rows);
});
"""


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The page."""
    links = "".join(f'<li><a href="#s{i}">{escape(section.title)}</a></li>' for i, section in enumerate(sections))
    figures = [figure for section in sections for figure in section.figures]
    pictures = min(LARGEST // 3, sum(len(image(figure)) for figure in figures))
    room = LARGEST - FRAME - NAMED * len(sections) - len(links.encode()) - pictures
    text = "\n".join(fitting(sections, room))
    page = PAGE.format(style=STYLE, n=len(runs), links=links, text=text, script=SCRIPT)
    room = LARGEST - len(page.encode())
    for figure in figures:
        shown = image(figure)
        is_shown = len(shown) <= room
        room -= len(shown) if is_shown else 0
        instead = f"<p>{escape(figure.name)} is left out: a page has at most 2 MB</p>"
        page = page.replace(place(figure), shown if is_shown else instead)
    return page


def fitting(sections: Sequence[Section], room: int) -> Iterator[str]:
    """The sections that have room; of the others the heading, and where they are."""
    for i, section in enumerate(sections):
        heading, *shown = parts(section, i)
        text = "\n".join(shown)
        size = len(text.encode())
        fits = size <= room or bool(section.figures)  # theirs was set aside
        yield f"{heading}\n{text if fits else WITHOUT}"
        room -= size if fits else 0


def parts(section: Section, i: int) -> Iterator[str]:
    """Heading, tables, notes, figures."""
    yield f'<h2 id="s{i}">{escape(section.title)}</h2>'
    for grid in section.grids:
        yield f"<h3>{escape(grid.caption)}</h3>" if grid.caption else ""
        yield table(grid)
        yield listed(grid.notes)
    yield listed(section.notes)
    for figure in section.figures:
        yield f"<figure>{place(figure)}<figcaption>{escape(figure.caption)}</figcaption></figure>"


def table(grid: Grid) -> str:
    """A table whose columns can be sorted."""
    heads = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in grid.columns)
    rows = "\n".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in grid.rows)
    return f'<div class="table"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def cell(one: Cell) -> str:
    """A cell with the number that it is sorted by."""
    text = f"<b>{escape(one.text)}</b>" if one.is_bold else escape(one.text)
    return f'<td data-v="{one.value:.7g}">{text}' if one.value is not None else f"<td>{text}"  # </td> may be left out


def listed(notes: Sequence[str]) -> str:
    """A list of notes; what stands between backticks is code."""
    items = "".join("<li>" + re.sub("`([^`]*)`", r"<code>\1</code>", escape(note)) + "</li>" for note in notes)
    return f"<ul>{items}</ul>" if notes else ""


def place(figure: Figure) -> str:
    """Where a figure will stand."""
    return f"<!-- figure {figure.name} -->"


def image(figure: Figure) -> str:
    """A figure inside the page."""
    return f'<img alt="{escape(figure.caption)}" src="data:image/png;base64,{b64encode(figure.png).decode()}">'
