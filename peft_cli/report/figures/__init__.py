"""Figures of tables. One file for each kind, with `draw(tables, metrics)` -> (name, caption, figure) of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import BytesIO
from itertools import chain, count
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure as Picture
from PIL import Image

from peft_cli.report.document import Figure, Section
from peft_cli.report.figures.benchmarks import benchmarks
from peft_cli.report.figures.style import SETTINGS
from peft_cli.report.tables import Table

SHARED = ("style", "panels", "benchmarks")  # files that are no kind
MOST_BENCHMARKS = 8
MANY, FEW_BENCHMARKS = 5_000, 2  # figures of so many runs take as long as all tables, so only so many are drawn
DOTS_PER_INCH = 160  # in print the PDF counts
COLOURS = 96  # of a PNG: a third of the bytes, and no eye sees it
LONGEST_NAME = 120  # characters


def kinds() -> list[str]:
    """Returns the names of all kinds of figures: the files of this folder."""
    names = (path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    return sorted(name for name in names if name not in SHARED)


def draw_figures(tables: Sequence[Table], metrics: Sequence[str], chosen: Sequence[str] = ()) -> Iterator[Section]:
    """Yields one section with the figures of the chosen kinds, or of all."""
    groups = [benchmark.tables for benchmark in benchmarks(tables)]
    n_runs = sum(len(table.runs) for table in tables)
    n = MOST_BENCHMARKS if n_runs <= MANY else FEW_BENCHMARKS
    drawn = [table for group in groups[:n] for table in group]
    figures: dict[str, Figure] = {}
    with rc_context(SETTINGS):
        for kind in chosen or kinds():
            for title, caption, picture in import_module(f"peft_cli.report.figures.{kind}").draw(drawn, metrics):
                name = f"{kind}-{re.sub(r'[^A-Za-z0-9_]+', '-', title).strip('-')}"[:LONGEST_NAME]
                name = next(n for n in chain([name], (f"{name}-{i}" for i in count(2))) if n not in figures)
                figures[name] = save(name, caption[0].upper() + caption[1:], picture)
    notes = [f"of {len(groups)} pairs of data and backbone the first {n} ({n_runs:,} runs); choose others by --where"]
    if figures:
        yield Section("Figures", notes=notes if len(groups) > n else [], figures=list(figures.values()))


def save(name: str, caption: str, picture: Picture) -> Figure:
    """Returns a picture as PDF and PNG; the same picture is the same bytes at any time."""
    pdf, png = BytesIO(), BytesIO()
    picture.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = pixels.quantize(COLOURS, Image.Quantize.FASTOCTREE)
    few.save(png, format="png", compress_level=6, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    picture.set_layout_engine("none")  # what was laid out stays
    FigureCanvasPdf(picture).print_pdf(pdf, metadata={"CreationDate": None})
    return Figure(name, caption, pdf.getvalue(), png.getvalue())
