"""ROUGE-Lsum by rouge-score: ROUGE-L over sentences, which are lines (Lin, 2004, https://aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.rouge import rouge_scores


def rougeLsum(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent with stemming. Only the protocol xsum keeps lines; with others it equals ROUGE-L."""
    return rouge_scores(("rougeLsum",), predictions, references)
