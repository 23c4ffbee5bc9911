"""The text that the embedded backbones are made of: books, and pairs that grammars generate."""

from __future__ import annotations

import lzma
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

SHORTEST = 40  # characters of a paragraph
HELD_OUT_SHARE = 0.01  # of the paragraphs
COMMON = slice(100, 6100)  # the words, by frequency, that values and private wordings are made of


@dataclass(frozen=True)
class Corpus:
    """Paragraphs to train on, paragraphs that are held out, and common words."""

    books: list[str]
    held_out: list[str]
    words: list[str]


def read_corpus(path: Path) -> Corpus:
    """The paragraphs of a text file (.txt or .xz, one a line), shuffled once and for all.

    Raises ValueError where there is no such file or it has too little text.
    """
    if not path.is_file():
        raise ValueError(f"corpus={path} is no file; give a text file (.txt or .xz) with one paragraph a line")
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        paragraphs = [line.strip() for line in file if len(line) > SHORTEST]
    counts = Counter(word for text in paragraphs[:40_000] for word in re.findall(r"\b[a-z]{3,}\b", text))
    words = [word for word, _ in counts.most_common(COMMON.stop)][COMMON]
    if len(words) < 1000:
        raise ValueError(f"corpus={path} has too little text; it has to have at least 1,100 different words")
    Random(0).shuffle(paragraphs)
    n = max(1, int(HELD_OUT_SHARE * len(paragraphs)))
    return Corpus(paragraphs[n:], paragraphs[:n], words)
