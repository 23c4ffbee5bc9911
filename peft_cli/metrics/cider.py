"""CIDEr-D as coco-caption computes it (Vedantam et al., 2015, https://arxiv.org/abs/1411.5726)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from peft_cli.config.version import __version__
from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import count_n_grams, split_words

ORDER = 4
SIGMA = 6.0
Gram = tuple[str, ...]


class Vector(NamedTuple):
    """The weights of a text's n-grams, one mapping for each n, their norms, and the text's length."""

    weights: list[dict[Gram, float]]
    norms: list[float]
    length: int  # in bigrams, as coco-caption has it


def cider(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items; inverse document frequencies are those of the scored references. One item alone has 0."""
    hyps, refs, words = split_words(predictions, references, protocol)
    counted = [[count_n_grams(ref, ORDER) for ref in several] for several in refs]
    n_items_with = Counter(gram for several in counted for gram in set().union(*several))
    idf = {gram: math.log(len(refs)) - math.log(n) for gram, n in n_items_with.items()}
    unseen = math.log(len(refs))  # the idf of an n-gram that no reference has
    items = []
    for hyp, several in zip(hyps, counted, strict=True):
        own = weigh(count_n_grams(hyp, ORDER), idf, unseen)
        items.append(10 * fmean(similarity(own, weigh(ref, idf, unseen)) for ref in several))
    return Score(
        {"cider": fmean(items)}, f"peft-cli:{__version__}|CIDEr-D|sigma:{SIGMA:g}|words:{words}", {"cider": items}
    )


def weigh(counts: Mapping[Gram, int], idf: Mapping[Gram, float], unseen: float) -> Vector:
    """The counts of n-grams, weighted by their idf."""
    weights: list[dict[Gram, float]] = [{} for _ in range(ORDER)]
    for gram, n in counts.items():
        weights[len(gram) - 1][gram] = n * idf.get(gram, unseen)
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
