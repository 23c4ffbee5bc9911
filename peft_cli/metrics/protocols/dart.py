"""DART's own evaluation: every entry counts (Nan et al., 2021, https://github.com/Yale-LILY/dart)."""

import re

from peft_cli.metrics.protocols import Protocol, one_line


def split(text: str) -> str:
    """Lower case, with spaces around every character that is no letter, digit or underscore."""
    return one_line(" ".join(re.split(r"(\W)", text.lower())))


PROTOCOL = Protocol(
    "dart",
    metrics=("bleu", "meteor"),
    prediction=split,
    reference=split,
    most_references=3,
    padding="empty",
    lowercase=False,
    tokenizer="none",
    words="spaces",
)
