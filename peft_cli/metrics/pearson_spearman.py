"""The mean of Pearson and Spearman correlation, GLUE's number for STS-B."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics import Score
from peft_cli.metrics.pearson import pearson
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.spearman import spearman


def pearson_spearman(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean of both correlations, times 100; None where one is undefined."""
    first, second = (metric(predictions, references, protocol) for metric in (pearson, spearman))
    one, other = first.values["pearson"], second.values["spearman"]
    mean = None if one is None or other is None else (one + other) / 2
    return Score({"pearson_spearman": mean}, first.signature, reason=first.reason)
