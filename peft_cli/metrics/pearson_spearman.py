"""The mean of Pearson and Spearman correlation, GLUE's number for STS-B."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.pearson import pearson
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.spearman import spearman


def pearson_spearman(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean of both correlations, times 100; None where one is undefined."""
    first, second = (metric(predictions, references, protocol) for metric in (pearson, spearman))
    values = [value for value in (*first.values.values(), *second.values.values()) if value is not None]
    mean = fmean(values) if len(values) == 2 else None
    return Score({"pearson_spearman": mean}, first.signature, reason=first.reason or second.reason)
