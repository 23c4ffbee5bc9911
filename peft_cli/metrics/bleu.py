"""Corpus BLEU by sacrebleu (Post, 2018, https://aclanthology.org/W18-6319)."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict[str, float], str]:
    """BLEU in percent, lower-cased, with all references of an item, and sacrebleu's signature.

    With the 13a tokenizer and an absent reference left out (not padded with an empty text) this is the number that the
    E2E challenge's own script prints (https://github.com/tuetschek/e2e-metrics).
    """
    most = max(map(len, references))
    streams = [[refs[k] if k < len(refs) else None for refs in references] for k in range(most)]
    metric = BLEU(lowercase=True, tokenize="13a", smooth_method="exp", effective_order=False)
    value = metric.corpus_score([clean(text) for text in predictions], streams).score
    return {"bleu": value}, str(metric.get_signature())


def clean(text: str) -> str:
    """`text` on one line: a line break inside a prediction would shift every later item."""
    return " ".join(text.split())
