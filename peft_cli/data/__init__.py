"""What a data set is: examples of text in, text out, and how a run draws its few examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from random import Random
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

VALIDATION_SHARE = 0.3  # of the training examples, as in Li and Liang (2021)
VALIDATION_LEAST = 16


@dataclass(frozen=True)
class Example:
    """One input with its right outputs; training aims at the first reference, scores look at all."""

    id: str  # the split and the number of the row in the original file, such as "train-17"
    source: str
    references: tuple[str, ...]
    subset: str | None = None  # the part of a test set that has scores of its own too, such as "seen"


@dataclass(frozen=True)
class Hypothesis:
    """What can be said of an example by its class: It was great, or It was terrible."""

    text: str  # with {label} where the words of a class stand
    words: tuple[str, ...]  # of each class, in the order of the labels


@dataclass(frozen=True)
class Data:
    """The three splits of a data set, and the metrics that judge it; the first metric is the one that selects.

    Where `validation` is empty, a run draws its validation examples from the training examples that are left.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()  # the text of each class; empty where the target is none
    scale: tuple[float, float] | None = None  # least and most, where the target is a number
    hypothesis: Hypothesis | None = None  # what is said of a class; None where nobody wrote it down
    protocol: str = "plain"  # how texts are prepared for scoring
    draws: Mapping[tuple[int, int], tuple[Sequence[Example], Sequence[Example]]] = field(default_factory=dict)
    # published draws: (shots, data_seed) -> training and validation examples
    notes: Mapping[str, object] = field(default_factory=dict)  # what a result tells of how the data came about


def few_shot(
    data: Data,
    shots: NonNegativeInt | None,
    data_seed: NonNegativeInt,
    test_limit: PositiveInt | None,
    draw: Literal["any", "balanced", "per_class"] = "any",
    validation: Literal["share", "same", "all"] = "share",
) -> Data:
    """`data` with `shots` training examples, few examples to validate, and `test_limit` to test.

    Which ones, `data_seed` alone decides, and a smaller draw is the beginning of a larger one. `draw` takes any
    examples, as many of each class as `shots` in all allow (balanced; Shi and Lipani, 2024), or `shots` of each class
    (per_class; Gao et al., 2021). To validate, there are 0.3 times as many, at least 16 (share), as many and drawn
    alike (same), or all there are (all); never one of the test set. The limited test set is the same for every seed:
    examples at equal distances. None takes all there are.
    Raises ValueError where fewer examples exist than are asked for, or no such draw was published.
    """
    if test_limit is not None and test_limit > len(data.test):
        raise ValueError(f"test_limit={test_limit} asks for more than the {len(data.test)} test examples there are")
    if data.draws and shots != 0:
        train, chosen = published(data, shots, data_seed)
    else:
        train = draw_train(data, shots, draw, f"train/{data_seed}")
        chosen = draw_validation(data, shots, train, draw, validation, f"validation/{data_seed}")
    return replace(data, train=train, validation=chosen, test=spread(data.test, test_limit))


def published(data: Data, shots: int | None, data_seed: int) -> tuple[Sequence[Example], Sequence[Example]]:
    """The training and validation examples of a published draw."""
    if (shots, data_seed) not in data.draws:
        known = ", ".join(f"shots={k} data_seed={seed}" for k, seed in sorted(data.draws))
        raise ValueError(f"shots={shots} data_seed={data_seed} is none of the published draws; they are {known}")
    return data.draws[shots, data_seed]


def draw_train(data: Data, shots: int | None, draw: str, seed: str) -> Sequence[Example]:
    """The training examples of a run."""
    if shots is None and data.train:
        return data.train
    if shots is None or shots > len(data.train):
        asked = "null" if shots is None else shots
        raise ValueError(f"shots={asked} asks for more than the {len(data.train)} training examples there are")
    if draw == "any":
        return shuffled(data.train, seed)[:shots]
    classes = by_class(data, data.train)
    smallest = min(classes, key=lambda name: len(classes[name]))
    if draw == "per_class" and shots > len(classes[smallest]):
        raise ValueError(
            f"shots={shots} draw=per_class asks for more than the {len(classes[smallest])} training examples of the "
            f"class {smallest!r}"
        )
    return in_turn(classes, seed)[: shots * len(classes) if draw == "per_class" else shots]


def draw_validation(
    data: Data, shots: int | None, train: Sequence[Example], draw: str, validation: str, seed: str
) -> Sequence[Example]:
    """The validation examples of a run; what there is, where there are fewer than the rule wants."""
    if shots == 0:
        return []
    drawn = {example.id for example in train}
    pool = data.validation or [example for example in data.train if example.id not in drawn]
    if shots is None or validation == "all":
        return pool
    if validation == "share":
        return shuffled(pool, seed)[: max(VALIDATION_LEAST, round(VALIDATION_SHARE * len(train)))]
    return (shuffled(pool, seed) if draw == "any" else in_turn(by_class(data, pool), seed))[: len(train)]


def shuffled(examples: Sequence[Example], seed: str) -> list[Example]:
    """`examples` in an order that only `seed` and their number decide."""
    return Random(seed).sample(examples, len(examples))


def by_class(data: Data, examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The examples of each class, in the order of the classes; of a scale, below its middle and the rest."""
    if not (data.labels or data.scale):
        raise ValueError("draw=balanced and draw=per_class draw from each class, and the data set has none; take any")
    classes: dict[str, list[Example]] = {label: [] for label in data.labels or ("low", "high")}
    for example in examples:
        if data.scale:
            classes["low" if float(example.references[0]) < sum(data.scale) / 2 else "high"].append(example)
        else:
            classes[example.references[0]].append(example)
    return classes


def in_turn(classes: Mapping[str, Sequence[Example]], seed: str) -> list[Example]:
    """One example of each class in turn, each class in an order of its own, until all are taken."""
    orders = [shuffled(examples, f"{seed}/{name}") for name, examples in classes.items()]
    return [example for turn in zip_longest(*orders) for example in turn if example is not None]


def spread(examples: Sequence[Example], count: int | None) -> Sequence[Example]:
    """`count` of `examples` at equal distances, in their order."""
    count = len(examples) if count is None else count
    return [examples[i * len(examples) // count] for i in range(count)]


def subsets(examples: Sequence[Example]) -> dict[str, list[int]]:
    """The places in `examples` of each subset, by its name, in the order in which the subsets appear."""
    places: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        if example.subset is not None:
            places.setdefault(example.subset, []).append(i)
    return places


def fingerprint(examples: Sequence[Example]) -> str:
    """The SHA-256 of what `examples` say, so that two runs can be seen to have used the same ones."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\x1f".join([example.source, *example.references, ""]).encode())
    return digest.hexdigest()
