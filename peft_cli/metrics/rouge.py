"""ROUGE-1, ROUGE-2 and ROUGE-L by rouge-score (Lin, 2004, https://aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from statistics import fmean

from rouge_score.rouge_scorer import RougeScorer

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def rouge(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent with stemming: the best over an item's references, the plain mean over items."""
    return by_rouge_score(("rouge1", "rouge2", "rougeL"), predictions, references)


def by_rouge_score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> Score:
    """The F1 in percent of rouge-score's `names`."""
    scorer = RougeScorer(names, use_stemmer=True)
    found = [scorer.score_multi(refs, text) for text, refs in zip(predictions, references, strict=True)]
    items = {name: [100 * item[name].fmeasure for item in found] for name in names}
    told = f"rouge-score|stemmer:yes|refs:best|mean:plain|version:{version('rouge-score')}"
    return Score({name: fmean(values) for name, values in items.items()}, told, items)
