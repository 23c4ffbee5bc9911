"""An approximation of the Penn Treebank tokenizer, without Java."""

from __future__ import annotations

import re

CLITICS = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))\b")
WORDS = re.compile(
    r"n't\b|'(?:s|m|d|re|ve|ll)\b"  # what CLITICS separates
    r"|\b(?:st|rd|dr|mr|mrs|ms|etc)\."  # abbreviations keep their full stop
    r"|\w+(?:[-/.']\w+|(?<=\d),\d+)*"  # 20-25, 1,149.5 and family-friendly are one word each
    r"|[^\w\s]"
)
DROPPED = set("()[]{}\"'`.?!,:;-") | {"--", "..."}


def like_ptb(text: str) -> list[str]:
    """The lower-cased words of `text`, without punctuation."""
    lowered = text.lower().replace("£", "#").replace("cannot", "can not")
    return [word for word in WORDS.findall(CLITICS.sub(r" \1", lowered)) if word not in DROPPED]
