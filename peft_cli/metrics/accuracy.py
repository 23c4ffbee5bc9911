"""Accuracy of predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def accuracy(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict[str, float], str]:
    """The share of predictions, in percent, that are one of their references."""
    right = (text in refs for text, refs in zip(predictions, references, strict=True))
    return {"accuracy": 100 * fmean(right)}, "exact match"
