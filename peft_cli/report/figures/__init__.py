"""Figures of tables. One file for each kind, with `draw(tables, metrics)` -> (name, caption, figure) of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from peft_cli.report.document import Figure, Section
from peft_cli.report.figures.places import places
from peft_cli.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

HELPERS = ("style", "panels", "places")
MOST_PLACES = 8
DOTS_PER_INCH = 200
COLOURS = 96  # of a PNG: a third of the bytes, and no eye sees it


def kinds() -> list[str]:
    """The names of all kinds of figures: the files of this folder."""
    names = (path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    return sorted(name for name in names if name not in HELPERS)


def drawn(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[Section]:
    """One section with all figures; a name that several would have gets a number."""
    figures, taken = [], {}
    there = [place.tables for place in places(tables)]
    tables = [table for group in there[:MOST_PLACES] for table in group]
    for kind in kinds():
        for name, caption, picture in import_module(f"peft_cli.report.figures.{kind}").draw(tables, metrics):
            plain = f"{kind}-{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')}"
            taken[plain] = taken.get(plain, 0) + 1
            figures.append(saved(plain if taken[plain] == 1 else f"{plain}-{taken[plain]}", caption, picture))
    notes = [f"of {len(there)} pairs of data and backbone the first {MOST_PLACES}; choose others with --where"]
    if figures:
        yield Section("Figures", notes=notes if len(there) > MOST_PLACES else [], figures=figures)


def saved(name: str, caption: str, picture: Picture) -> Figure:
    """A picture as PDF and PNG; the same picture is the same bytes at any time."""
    from matplotlib import rc_context
    from PIL import Image

    pdf, png, small = BytesIO(), BytesIO(), BytesIO()
    with rc_context({"pdf.fonttype": 42}):
        picture.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        picture.savefig(png, format="png", dpi=DOTS_PER_INCH)
    Image.open(png).convert("RGB").quantize(COLOURS).save(small, format="png", optimize=True)
    return Figure(name, caption, pdf.getvalue(), small.getvalue())
