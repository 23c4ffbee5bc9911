"""CIDEr-D as coco-caption computes it (Vedantam et al., 2015, https://arxiv.org/abs/1411.5726)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from peft_cli import __version__
from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import split

ORDER = 4
SIGMA = 6.0


class Vector(NamedTuple):
    """The weights of a text's n-grams, one mapping for each n, their norms, and the text's length."""

    weights: list[dict[tuple[str, ...], float]]
    norms: list[float]
    length: int  # in bigrams, as coco-caption has it


def cider(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items; how rare an n-gram is, the references that are scored say. One item alone has 0."""
    hyps, refs, words = split(predictions, references, protocol)
    counted = [[count(ref) for ref in several] for several in refs]
    n_items_with = Counter(gram for several in counted for gram in set().union(*several))
    rarity = {gram: math.log(len(refs)) - math.log(n) for gram, n in n_items_with.items()}
    common = math.log(len(refs))  # the rarity of an n-gram that no reference has
    items = []
    for hyp, several in zip(hyps, counted, strict=True):
        own = vector(count(hyp), rarity, common)
        items.append(10 * fmean(similarity(own, vector(ref, rarity, common)) for ref in several))
    return Score(
        {"cider": fmean(items)}, f"peft-cli:{__version__}|CIDEr-D|sigma:{SIGMA:g}|words:{words}", {"cider": items}
    )


def count(words: Sequence[str]) -> Counter:
    """How often each n-gram of one to four words occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDER + 1) for i in range(len(words) - n + 1))


def vector(counts: Mapping[tuple[str, ...], int], rarity: Mapping, common: float) -> Vector:
    """The counts weighted by rarity."""
    weights: list[dict] = [{} for _ in range(ORDER)]
    for gram, n in counts.items():
        weights[len(gram) - 1][gram] = n * rarity.get(gram, common)
    norms = [math.sqrt(sum(weight**2 for weight in of_n.values())) for of_n in weights]
    return Vector(weights, norms, sum(n for gram, n in counts.items() if len(gram) == 2))


def similarity(hyp: Vector, ref: Vector) -> float:
    """The mean over n of the cosine, clipped to the reference's weights and smaller where lengths differ."""
    total = 0.0
    for n in range(ORDER):
        shared = sum(
            min(w, ref.weights[n][g]) * ref.weights[n][g] for g, w in hyp.weights[n].items() if g in ref.weights[n]
        )
        total += shared / (hyp.norms[n] * ref.norms[n]) if hyp.norms[n] and ref.norms[n] else shared
    return total / ORDER * math.exp(-((hyp.length - ref.length) ** 2) / (2 * SIGMA**2))
