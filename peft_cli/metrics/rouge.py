"""ROUGE-1, ROUGE-2 and ROUGE-L by rouge-score (Lin, 2004, https://aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from statistics import fmean

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol

TOKENIZER = DefaultTokenizer(use_stemmer=True)


def rouge(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent with stemming: the best over an item's references, the plain mean over items."""
    return rouge_scores(("rouge1", "rouge2", "rougeL"), predictions, references)


def rouge_scores(names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """The F1 in percent of rouge-score's metrics `names`: the best over references, the mean over items."""
    scorer = RougeScorer(names, tokenizer=Stems())
    scored = [scorer.score_multi(refs, text) for text, refs in zip(predictions, references, strict=True)]
    items = {name: [100 * item[name].fmeasure for item in scored] for name in names}
    signature = f"rouge-score|stemmer:yes|refs:best|mean:plain|version:{version('rouge-score')}"
    return Score({name: fmean(values) for name, values in items.items()}, signature, items)


class Stems(Tokenizer):
    """rouge-score's own stems; a text is split once for all references and metrics."""

    def tokenize(self, text: str) -> list[str]:
        """The stems of the words of `text`."""
        return stems(text)


@lru_cache(maxsize=2**16)
def stems(text: str) -> list[str]:
    """The stems of the words of `text`."""
    return TOKENIZER.tokenize(text)
