"""ROUGE-2 by rouge-score (Lin, 2004, https://aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.rouge import rouge_scores


def rouge2(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent with stemming: the best over an item's references, the plain mean over items."""
    return rouge_scores(("rouge2",), predictions, references)
