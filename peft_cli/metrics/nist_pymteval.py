"""NIST as pymteval computes it, which `measure_scores.py -p` of e2e-metrics and so the LoRA repository run."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics import Score
from peft_cli.metrics.nist import NO_WORDS, ORDER, information, signature, tokenize
from peft_cli.metrics.protocols import Protocol


def nist_pymteval(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """NIST, with the length of the references as the sum of each item's mean.

    As there, an empty prediction is one word, and one of k words has k - n + 1 n-grams even where that is below 0; if
    these add up to 0 there is no value.
    """
    hyps, refs = tokenize(predictions, references, protocol)
    length = sum(sum(map(len, several)) / len(several) for several in refs)
    n_grams = [sum(max(1, len(hyp)) - n for hyp in hyps) for n in range(ORDER)]
    reason = NO_WORDS if not length else "predictions so short that it divides by 0" if 0 in n_grams else None
    value = None if reason else information(hyps, refs, n_grams, n_grams[0] / length)
    return Score({"nist_pymteval": value}, signature(protocol, "items"), reason=reason)
