"""Words of short answers, as SQuAD's official script compares them (Rajpurkar et al., 2016)."""

from __future__ import annotations

import re
import string

WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    """The words of `text` in lower case, without ASCII punctuation and without a, an and the."""
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(WITHOUT_PUNCTUATION)).split()
