"""What a data set is: examples of text in, text out, and the metrics that judge them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from pydantic import NonNegativeInt, PositiveInt

VALIDATION_SHARE = 0.3  # of the training examples, as in Li and Liang (2021)
VALIDATION_LEAST = 16


@dataclass(frozen=True)
class Example:
    """One input with its right outputs; training aims at the first reference, scores look at all."""

    id: str  # the split and the number of the row in the original file, such as "train-17"
    source: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """The three splits of a data set, and the metrics that judge it; the first metric is the one that selects."""

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()  # the classes; empty where the target is free text
    protocol: str = "plain"  # the rules of scoring: a file of peft_cli/metrics/protocols


def few_shot(
    data: Data, shots: NonNegativeInt | None, data_seed: NonNegativeInt, test_limit: PositiveInt | None
) -> Data:
    """`data` with `shots` training examples, 0.3 times as many (at least 16) to validate, and `test_limit` to test.

    Which ones, `data_seed` alone decides, and a smaller draw is the beginning of a larger one. The limited test set is
    the same for every seed: examples at equal distances. None takes all there are.
    Raises ValueError where fewer examples exist than are asked for.
    """
    if shots is not None and shots > len(data.train):
        raise ValueError(f"shots={shots} asks for more than the {len(data.train)} training examples there are")
    if test_limit is not None and test_limit > len(data.test):
        raise ValueError(f"test_limit={test_limit} asks for more than the {len(data.test)} test examples there are")
    wanted = None if shots is None else max(VALIDATION_LEAST, round(VALIDATION_SHARE * shots)) if shots else 0
    return replace(
        data,
        train=draw(data.train, shots, f"train/{data_seed}"),
        validation=draw(data.validation, wanted, f"validation/{data_seed}"),
        test=spread(data.test, test_limit),
    )


def draw(examples: Sequence[Example], count: int | None, seed: str) -> Sequence[Example]:
    """The first `count` of `examples` in an order that only `seed` decides; all in their own order where it is None."""
    if count is None:
        return examples
    order = Random(seed).sample(range(len(examples)), len(examples))
    return [examples[i] for i in order[:count]]


def spread(examples: Sequence[Example], count: int | None) -> Sequence[Example]:
    """`count` of `examples` at equal distances, in their order."""
    count = len(examples) if count is None else count
    return [examples[i * len(examples) // count] for i in range(count)]


def fingerprint(examples: Sequence[Example]) -> str:
    """The SHA-256 of what `examples` say, so that two runs can be seen to have used the same ones."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\x1f".join([example.source, *example.references, ""]).encode())
    return digest.hexdigest()
