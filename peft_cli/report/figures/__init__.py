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

HELPERS = ("style", "panels", "places", "font")
MOST_PLACES = 8
MANY, FEW_PLACES = 5_000, 2  # figures of so many runs take as long as all tables, so only so many places have them
DOTS_PER_INCH = 160  # in print the PDF counts
COLOURS = 96  # of a PNG: a third of the bytes, and no eye sees it


def kinds() -> list[str]:
    """The names of all kinds of figures: the files of this folder."""
    names = (path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    return sorted(name for name in names if name not in HELPERS)


def drawn(tables: Sequence[Table], metrics: Sequence[str], chosen: Sequence[str] = ()) -> Iterator[Section]:
    """One section with the figures of the chosen kinds, or of all; a name that several would have gets a number."""
    figures, taken = [], {}
    there = [place.tables for place in places(tables)]
    n_runs = sum(len(table.runs) for table in tables)
    n = MOST_PLACES if n_runs <= MANY else FEW_PLACES
    tables = [table for group in there[:n] for table in group]
    for kind in chosen or kinds():
        for name, caption, picture in import_module(f"peft_cli.report.figures.{kind}").draw(tables, metrics):
            plain = f"{kind}-{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')}"
            taken[plain] = taken.get(plain, 0) + 1
            told = caption[0].upper() + caption[1:]
            figures.append(saved(plain if taken[plain] == 1 else f"{plain}-{taken[plain]}", told, picture))
    notes = [f"of {len(there)} pairs of data and backbone the first {n} ({n_runs:,} runs); choose others by --where"]
    if figures:
        yield Section("Figures", notes=notes if len(there) > n else [], figures=figures)


def saved(name: str, caption: str, picture: Picture) -> Figure:
    """A picture as PDF and PNG; the same picture is the same bytes at any time."""
    import numpy as np
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    pdf, png = BytesIO(), BytesIO()
    with rc_context({"pdf.fonttype": 42}):  # journals refuse matplotlib's own choice, type 3
        picture.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    picture.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = pixels.quantize(COLOURS, Image.Quantize.FASTOCTREE)
    few.save(png, format="png", compress_level=6, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    return Figure(name, caption, pdf.getvalue(), png.getvalue())
