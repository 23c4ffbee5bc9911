"""The order in which examples are drawn: it depends on a seed, on how many examples there are, and on their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from random import Random
from typing import Literal, Protocol, TypeVar

VALIDATION_SHARE = 0.3  # of the training examples, as in Li and Liang (2021)

Draw = Literal["any", "balanced", "per_class"]


class HasSource(Protocol):
    """An example."""

    @property
    def source(self) -> str:
        """What a model reads."""


Item = TypeVar("Item")
Sourced = TypeVar("Sourced", bound=HasSource)


def shuffle(groups: Mapping[str, Sequence[Item]], seed: str) -> dict[str, list[Item]]:
    """The groups, each in an order that `seed`, its name and its size decide."""
    return {name: Random(f"{seed}/{name}" if name else seed).sample(part, len(part)) for name, part in groups.items()}


def in_turn(groups: Mapping[str, Sequence[Item]]) -> list[Item]:
    """One item of each group in turn, until all are taken."""
    return [item for turn in zip_longest(*groups.values()) for item in turn if item is not None]


def spread(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """`count` items at equal distances, in their order; None takes all."""
    count = len(items) if count is None else count
    return [items[i * len(items) // count] for i in range(count)]


def unseen(examples: Sequence[Sourced], train: Sequence[Sourced]) -> list[Sourced]:
    """The examples whose source no training example has."""
    sources = {example.source for example in train}
    return [example for example in examples if example.source not in sources]


def spare_sources(groups: Mapping[str, Sequence[Sourced]]) -> dict[str, list[Sourced]]:
    """The groups with all examples of the sources that are drawn last at their ends.

    They are a share of the sources, so that some are left to validate as long as few examples train.
    """
    sources = list(dict.fromkeys(example.source for example in in_turn(groups)))
    spared = set(sources[int(len(sources) / (1 + VALIDATION_SHARE)) :])
    return {name: sorted(part, key=lambda example: example.source in spared) for name, part in groups.items()}


def class_shots(shots: int, draw: Draw, groups: Mapping[str, Sequence[object]]) -> int:
    """How many examples `shots` are in all: equally many of each class, by `draw` shots of each or nearly shots in all.

    Balanced has one more where it would lack a single one, as Shi and Lipani's code does: 32 shots of 3 classes are 30
    examples, 4 are 4. Raises ValueError where a class has too few, and where none of each would be taken.
    """
    each = shots if draw == "per_class" else shots // len(groups)
    smallest = min(groups, key=lambda name: len(groups[name]))
    if each > len(groups[smallest]) or (shots and not each):
        raise ValueError(
            f"shots={shots} draw={draw} asks for {each} of each of the {len(groups)} classes, and there are "
            f"{len(groups[smallest])} training examples of the class {smallest!r}"
        )
    return each * len(groups) + (draw == "balanced" and shots % len(groups) == 1)
