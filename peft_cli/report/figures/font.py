"""The letters of figures: matplotlib's own font without what its PDFs never use, which takes most of their time."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

FULL, REDUCED = "DejaVu Sans", "DejaVu Sans reduced"
LETTERS = (range(0x20, 0x250), range(0x370, 0x530), range(0x2010, 0x2300))  # Latin, Greek, Cyrillic, signs


@cache
def font() -> str:
    """The family of a font with LETTERS and their kerning alone, known to matplotlib while this process runs."""
    from fontTools import subset
    from matplotlib.font_manager import FontEntry, findfont, fontManager

    options = subset.Options(layout_features=["kern"], glyph_names=True, drop_tables=["FFTM"])
    reduced = subset.load_font(findfont(FULL), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[letter for letters in LETTERS for letter in letters])
    subsetter.subset(reduced)
    folder = Path(mkdtemp())
    atexit.register(rmtree, folder)
    path = folder / "font.ttf"
    subset.save_font(reduced, path, options)
    fontManager.ttflist.append(FontEntry(fname=str(path), name=REDUCED))
    return REDUCED
