"""ROUGE-1, ROUGE-2 and ROUGE-L by rouge-score (Lin, 2004, https://aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from statistics import fmean

from rouge_score.rouge_scorer import RougeScorer

NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict[str, float], str]:
    """F1 in percent with stemming: the best over an item's references, the plain mean over items."""
    scorer = RougeScorer(NAMES, use_stemmer=True)
    items = [scorer.score_multi(refs, text) for text, refs in zip(predictions, references, strict=True)]
    values = {name: 100 * fmean(item[name].fmeasure for item in items) for name in NAMES}
    return values, f"rouge-score|stemmer:yes|refs:best|mean:plain|version:{version('rouge-score')}"
