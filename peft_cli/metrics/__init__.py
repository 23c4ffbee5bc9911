"""Scores of predicted texts against their references. One file for each metric; none needs torch."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics.accuracy import accuracy
from peft_cli.metrics.bleu import bleu
from peft_cli.metrics.rouge import rouge

METRICS = {"bleu": bleu, "rouge": rouge, "accuracy": accuracy}


def score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, str]]:
    """Every score of the metrics `names`, and each metric's signature: what was computed, with which version.

    A metric may give several scores; the first score of the first metric is the one that selects models.
    """
    scores, signatures = {}, {}
    for name in names:
        values, signatures[name] = METRICS[name](predictions, references)
        scores |= values
    return scores, signatures
