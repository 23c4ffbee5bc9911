"""Exact match of short answers, as SQuAD's official script has it (https://arxiv.org/abs/1606.05250)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words.squad import squad_words


def exact_match(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The percentage of predictions with the same words as one of their references."""
    items = [
        100.0 * (squad_words(text) in map(squad_words, refs))
        for text, refs in zip(predictions, references, strict=True)
    ]
    return Score({"exact_match": fmean(items)}, "SQuAD|exact match", {"exact_match": items})
