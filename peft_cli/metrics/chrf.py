"""chrF++ by sacrebleu (Popović, 2017, https://aclanthology.org/W17-4770)."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import CHRF

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol, collapse_whitespace, reference_streams


def chrf(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """chrF++ in percent: characters up to 6 and words up to 2, with case, of the best reference."""
    metric = CHRF(word_order=2)
    value = metric.corpus_score([*map(collapse_whitespace, predictions)], reference_streams(references)).score
    return Score({"chrf": value}, str(metric.get_signature()))
