"""ROUGE_L as coco-caption computes it (Chen et al., 2015, https://arxiv.org/abs/1504.00325): not the same as rougeL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from peft_cli.config.version import __version__
from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import split_words

BETA = 1.2


def rouge_l(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items in percent; precision and recall are each the best over an item's references."""
    hyps, refs, words = split_words(predictions, references, protocol)
    items = [100 * f_measure(hyp, several) for hyp, several in zip(hyps, refs, strict=True)]
    return Score({"rouge_l": fmean(items)}, f"peft-cli:{__version__}|beta:{BETA}|words:{words}", {"rouge_l": items})


def f_measure(hyp: Sequence[str], refs: Sequence[Sequence[str]]) -> float:
    """F of a prediction, with weight BETA on recall; 0 to 1."""
    common = [(longest_common(hyp, ref), len(ref)) for ref in refs if ref]
    precision = max((n for n, _ in common), default=0) / max(1, len(hyp))
    recall = max((n / length for n, length in common), default=0.0)
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, a bit for each word of `a` (Hyyrö, 2004)."""
    masks: dict[str, int] = defaultdict(int)
    for i, word in enumerate(a):
        masks[word] |= 1 << i
    all_bits = (1 << len(a)) - 1
    rest = all_bits  # a bit is 0 where the length grows
    for word in b:
        matched = rest & masks.get(word, 0)
        rest = ((rest + matched) | (rest - matched)) & all_bits
    return len(a) - rest.bit_count()
