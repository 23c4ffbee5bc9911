"""NIST (Doddington, 2002, https://dl.acm.org/doi/10.5555/1289189.1289273), as mteval-v13a.pl computes it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from peft_cli.config.version import __version__
from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol, collapse_whitespace
from peft_cli.metrics.words import count_n_grams

ORDER = 5
BETA = -math.log(0.5) / math.log(1.5) ** 2  # a prediction of two thirds of the length has half the score
NO_WORDS = "the references have no words"


def nist(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """NIST, with the length of the references as the mean over all of them."""
    hyps, refs = tokenize(predictions, references, protocol)
    n_references = sum(map(len, refs))
    length = sum(len(ref) for several in refs for ref in several) / n_references * len(refs)
    if not length:
        return Score({"nist": None}, signature(protocol, "all"), reason=NO_WORDS)
    n_grams = [sum(max(0, len(hyp) - n) for hyp in hyps) for n in range(ORDER)]
    return Score({"nist": information(hyps, refs, n_grams, sum(map(len, hyps)) / length)}, signature(protocol, "all"))


def tokenize(
    predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The words of predictions and references as the protocol's BLEU reads them."""
    tokenizer = BLEU(tokenize=protocol.tokenizer).tokenizer

    def words(text: str) -> list[str]:
        text = collapse_whitespace(text)
        return tokenizer(text.lower() if protocol.lowercase else text).split()

    return [words(text) for text in predictions], [[words(ref) for ref in several] for several in references]


def information(
    hyps: Sequence[Sequence[str]], refs: Sequence[Sequence[Sequence[str]]], n_grams: Sequence[int], ratio: float
) -> float:
    """The information of the n-grams that predictions share with references, per n-gram, times a brevity penalty.

    `n_grams` are the numbers of n-grams of one to five words; `ratio` is the length of all predictions divided by that
    of the references.
    """
    counted = [[count_n_grams(ref, ORDER) for ref in several] for several in refs]
    totals: Counter[tuple[str, ...]] = Counter()
    for counts in (counts for several in counted for counts in several):
        totals.update(counts)
    n_words = sum(len(ref) for several in refs for ref in several)
    shared = [0.0] * ORDER
    for hyp, several in zip(hyps, counted, strict=True):
        most: Counter[tuple[str, ...]] = Counter()
        for counts in several:
            most |= counts
        for gram, count in count_n_grams(hyp, ORDER).items():
            if gram in most:
                before = totals[gram[:-1]] if len(gram) > 1 else n_words
                shared[len(gram) - 1] += min(count, most[gram]) * math.log2(before / totals[gram])
    value = sum(s / n for s, n in zip(shared, n_grams, strict=True) if n)
    return value * math.exp(-BETA * math.log(min(1.0, ratio)) ** 2) if ratio > 0 else 0.0


def signature(protocol: Protocol, length: str) -> str:
    """The signature; `length` names what the length of the references is the mean of."""
    case = "lc" if protocol.lowercase else "mixed"
    return f"peft-cli:{__version__}|order:{ORDER}|case:{case}|tok:{protocol.tokenizer}|length:{length}"
