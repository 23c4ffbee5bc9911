"""ROUGE_L as coco-caption computes it (Chen et al., 2015, https://arxiv.org/abs/1504.00325): another than rougeL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from peft_cli import __version__
from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import split

BETA = 1.2


def rouge_l(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items in percent, of the best precision and the best recall over the references, taken apart."""
    hyps, refs, words = split(predictions, references, protocol)
    items = [100 * best(hyp, several) for hyp, several in zip(hyps, refs, strict=True)]
    return Score({"rouge_l": fmean(items)}, f"peft-cli:{__version__}|beta:{BETA}|words:{words}", {"rouge_l": items})


def best(hyp: Sequence[str], refs: Sequence[Sequence[str]]) -> float:
    """F with weight BETA on recall."""
    common = [(longest_common(hyp, ref), len(ref)) for ref in refs if ref]
    precision = max((n for n, _ in common), default=0) / max(1, len(hyp))
    recall = max((n / length for n, length in common), default=0.0)
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, a bit for each word of `a` (Hyyrö, 2004)."""
    places: dict[str, int] = defaultdict(int)
    for i, word in enumerate(a):
        places[word] |= 1 << i
    every = (1 << len(a)) - 1
    rest = every  # a bit is 0 where the length grows
    for word in b:
        met = rest & places.get(word, 0)
        rest = ((rest + met) | (rest - met)) & every
    return len(a) - rest.bit_count()
