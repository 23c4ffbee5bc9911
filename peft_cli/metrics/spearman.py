"""Spearman correlation of predicted numbers by scipy."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import spearmanr

from peft_cli.metrics import Score
from peft_cli.metrics.pearson import correlate
from peft_cli.metrics.protocols import Protocol


def spearman(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """Spearman correlation times 100."""
    return correlate("spearman", spearmanr, predictions, references)
