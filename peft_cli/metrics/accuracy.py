"""Accuracy of predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def accuracy(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The percentage of predictions that equal one of their references."""
    items = [100.0 * (text in refs) for text, refs in zip(predictions, references, strict=True)]
    return Score({"accuracy": fmean(items)}, "exact match", {"accuracy": items})
