"""F1 of the words of short answers, as SQuAD's official script has it (https://arxiv.org/abs/1606.05250)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words.squad import squad_words


def token_f1(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items, in percent, of the largest F1 that a prediction's words have with one of its references."""
    items = [
        100 * max(words_f1(squad_words(text), squad_words(ref)) for ref in refs)
        for text, refs in zip(predictions, references, strict=True)
    ]
    return Score({"token_f1": fmean(items)}, "SQuAD|F1 of words", {"token_f1": items})


def words_f1(predicted: Sequence[str], wanted: Sequence[str]) -> float:
    """The F1 of two lists of words, each word as often as it occurs; 1 where both are empty."""
    if not predicted or not wanted:
        return float(predicted == wanted)
    n_shared = (Counter(predicted) & Counter(wanted)).total()
    return 2 * n_shared / (len(predicted) + len(wanted))
