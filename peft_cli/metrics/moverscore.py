"""MoverScore (Zhao et al., 2019, https://aclanthology.org/D19-1053), from a model's folder on this machine."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.encoders import Vectors, encode
from peft_cli.metrics.protocols import Protocol


def moverscore(
    predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol, folder: str
) -> Score:
    """1 minus the cost of moving a prediction's words onto those of the best reference, in percent.

    As moverscore_v2 with single words: vectors of the last layer, weights by idf over each side, without punctuation
    and without pieces that continue a word ("##"), so for models with BERT's kind of words.
    """
    flat = [ref for several in references for ref in several]
    vectors = encode(folder, [*predictions, *flat], -1)
    idf = [inverse_frequencies(vectors[text] for text in side) for side in (predictions, flat)]
    items = [
        100 * max(1 - move_cost(vectors[text], vectors[ref], *idf) for ref in several)
        for text, several in zip(predictions, references, strict=True)
    ]
    signature = f"MoverScore 2|model:{Path(folder).name}|words:1|idf:yes|refs:best"
    return Score({"moverscore": fmean(items)}, signature, {"moverscore": items})


def inverse_frequencies(texts: Iterable[Vectors]) -> dict[str, float]:
    """The idf of each token over `texts`."""
    sets = [set(text.tokens) for text in texts]
    counts = Counter(token for tokens in sets for token in tokens)
    return {token: math.log((len(sets) + 1) / (n + 1)) for token, n in counts.items()}


def move_cost(hyp: Vectors, ref: Vectors, idf_hyp: Mapping[str, float], idf_ref: Mapping[str, float]) -> float:
    """The earth mover's distance between two texts; 1 where one of them has no words."""
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    a, b = weights(hyp, idf_hyp), weights(ref, idf_ref)
    if not (sum(a) and sum(b)):
        return 1.0
    mass = np.concatenate([np.array(a) / sum(a), np.array(b) / sum(b)])
    distance = np.sqrt(np.clip(2 - 2 * (hyp.hidden.double() @ ref.hidden.double().T).numpy(), 0, None))
    leaves = kron(eye_array(len(a)), np.ones((1, len(b))))  # the mass that leaves each word of hyp
    arrives = kron(np.ones((1, len(a))), eye_array(len(b)))
    return float(linprog(distance.ravel(), A_eq=vstack([leaves, arrives]), b_eq=mass, method="highs").fun)


def weights(text: Vectors, idf: Mapping[str, float]) -> list[float]:
    """The weight of each token; punctuation and continued words have none."""
    return [0.0 if token in string.punctuation or "##" in token else idf[token] for token in text.tokens]
