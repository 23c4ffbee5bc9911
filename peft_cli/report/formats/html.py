"""HTML: one page that needs no network: tables that a click on a column sorts, figures inside, at most 2 MB."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from peft_cli.report.document import Section
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import printable

SUFFIX = ".html"
DESCRIPTION = "one HTML page"
LARGEST = 2_000_000  # bytes of a page; tables and figures that do not fit are named
FRAME, HEADING = 20_000, 200  # of them for what is around the sections, and around each title and caption


class Room:
    """The bytes that a page has left."""

    def __init__(self, size: int):
        self.size = size

    def take(self, text: str) -> str:
        """Returns `text` where it fits, and nothing where it does not."""
        size = len(text.encode())
        if size > self.size:
            return ""
        self.size -= size
        return text


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns the page; figures have at most half of it, and tables what is left."""
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["code"] = code
    tables, page = (environment.get_template(f"{name}.html.jinja") for name in ("tables", "page"))
    figures = [figure for section in sections for figure in section.figures]
    names = [section.title for section in sections] + [figure.caption for figure in figures]
    room = Room(LARGEST // 2)
    images = {figure.name: room.take(b64encode(figure.png).decode()) for figure in figures}
    room.size += LARGEST // 2 - FRAME - sum(HEADING + 2 * len(escape(name).encode()) for name in names)
    parts = [(section, Markup(room.take(tables.render(section=section)))) for section in sections]
    return page.render(parts=parts, images=images, n_runs=len(runs))


def code(note: str) -> Markup:
    """Returns a note; what stands between backticks is code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(printable(note)))))
