"""The mean of Pearson and Spearman correlation, GLUE's number for STS-B."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.pearson import pearson
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.spearman import spearman


def pearson_spearman(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean of both, times 100."""
    both = [metric(predictions, references, protocol) for metric in (pearson, spearman)]
    values = [value for one in both for value in one.values.values()]
    mean = None if None in values else fmean(values)
    return Score({"pearson_spearman": mean}, both[0].signature, reason=both[0].reason)
