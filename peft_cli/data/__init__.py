"""What a data set is: examples of text in, text out, and how a run draws its few examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from peft_cli.data.reading import order

VALIDATION_LEAST = 16  # validation examples, where there are so many


@dataclass(frozen=True)
class Example:
    """One input with its references; training uses the first reference, scores use all."""

    id: str  # the split and the number of the row in the original file, such as "train-17"
    source: str
    references: tuple[str, ...]
    subset: str | None = None  # the part of a test set that is also scored on its own, such as "seen"
    texts: tuple[str, ...] = ()  # what stands for {0} and {1} in a MaskTemplate, where the data set has one


@dataclass(frozen=True)
class Hypothesis:
    """A sentence about an example of each class: "It was great.", "It was terrible."."""

    text: str  # with {label} in the place of a class's words
    words: tuple[str, ...]  # of each class, in the order of the labels


@dataclass(frozen=True)
class MaskTemplate:
    """The whole input of an encoder that fills a mask: "{0}? {label}, {1}" (Gao et al., 2021).

    {0} and {1} are an example's `texts`, {label} is the mask. Texts and the pieces between them are tokenised each on
    its own. A space before a text or a word is part of its first token; a space before the mask is none.
    """

    text: str
    words: tuple[str, ...]  # of each class, in the order of the labels; of a scale, of its low and its high end
    max_tokens: int | None = None  # of an input; its end is cut off
    max_first_tokens: int | None = None  # of the first text


@dataclass(frozen=True)
class Data:
    """The three splits of a data set, and its metrics; the first metric selects the best state.

    Where `validation` is empty, a run draws its validation examples from the training examples that are left.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()  # the text of each class; empty for free text and numbers
    scale: tuple[float, float] | None = None  # least and most, where the target is a number
    hypothesis: Hypothesis | None = None
    mask_template: MaskTemplate | None = None
    protocol: str = "plain"  # how texts are prepared for scoring
    draws: Mapping[tuple[int, int], tuple[Sequence[Example], Sequence[Example]]] = field(default_factory=dict)
    # published draws: (shots, data_seed) -> training and validation examples
    notes: Mapping[str, object] = field(default_factory=dict)  # what a result says of where the examples came from


def few_shot(
    data: Data, shots: NonNegativeInt | None, data_seed: NonNegativeInt = 0, test_limit: PositiveInt | None = None,
    draw: order.Draw = "any", validation: Literal["share", "same", "all"] = "share",
) -> Data:  # fmt: skip
    """`data` with `shots` training examples, few validation examples, and `test_limit` test examples; None takes all.

    `data_seed` alone decides which, and a smaller draw is the beginning of a larger one. `draw` takes any examples,
    equally many of each class (balanced; Shi and Lipani, 2024), or `shots` of each (per_class; Gao et al., 2021). To
    validate there are 0.3 times as many, at least 16 (share), as many, drawn alike (same), or all there are (all), none
    with the source of a training example. Test examples are at equal distances, the same for every seed.
    Raises ValueError where fewer examples exist than are asked for, or no such draw was published.
    """
    if test_limit is not None and test_limit > len(data.test):
        raise ValueError(f"test_limit={test_limit} asks for more than the {len(data.test)} test examples there are")
    if data.draws and shots != 0:
        train, chosen = published_draw(data, shots, data_seed)
    else:
        train = draw_train(data, shots, draw, f"train/{data_seed}")
        chosen = draw_validation(data, shots, train, draw, validation, f"validation/{data_seed}")
    test = order.spread(data.test, test_limit)
    notes = {**data.notes, "test_sources_in_training": len(test) - len(order.unseen(test, train))}
    return replace(data, train=train, validation=chosen, test=test, notes=notes)


def published_draw(data: Data, shots: int | None, data_seed: int) -> tuple[Sequence[Example], Sequence[Example]]:
    """The training examples of a published draw, and its validation examples with other sources."""
    if shots is None or (shots, data_seed) not in data.draws:
        asked = f"shots={'null' if shots is None else shots} data_seed={data_seed}"
        known = ", ".join(f"shots={k} data_seed={seed}" for k, seed in sorted(data.draws))
        raise ValueError(f"{asked} is none of the published draws; they are {known}")
    train, validation = data.draws[shots, data_seed]
    return train, order.unseen(validation, train)


def draw_train(data: Data, shots: int | None, draw: order.Draw, seed: str) -> Sequence[Example]:
    """The training examples of a run."""
    if shots is None and data.train:
        return data.train
    if shots is None or shots > len(data.train):
        asked = "null" if shots is None else shots
        raise ValueError(f"shots={asked} asks for more than the {len(data.train)} training examples there are")
    groups = draw_groups(data, data.train, draw, seed)
    if not data.validation:
        groups = order.spare_sources(groups)
    return order.in_turn(groups)[: shots if draw == "any" else order.class_shots(shots, draw, groups)]


def draw_validation(
    data: Data, shots: int | None, train: Sequence[Example], draw: order.Draw, validation: str, seed: str
) -> Sequence[Example]:
    """The validation examples of a run; what there is, where there are fewer than the rule wants."""
    if shots == 0:
        return []
    pool = data.validation or data.train
    if shots is None or validation == "all":
        return order.unseen(pool, train)
    is_share = validation == "share"
    size = max(VALIDATION_LEAST, round(order.VALIDATION_SHARE * len(train))) if is_share else len(train)
    groups = draw_groups(data, pool, "any" if is_share else draw, seed)
    return order.in_turn({name: order.unseen(examples, train) for name, examples in groups.items()})[:size]


def draw_groups(data: Data, examples: Sequence[Example], draw: order.Draw, seed: str) -> dict[str, list[Example]]:
    """The groups of examples that take turns in a draw, each class or all as one, each in random order."""
    return order.shuffle({"": examples} if draw == "any" else by_class(data, examples), seed)


def by_class(data: Data, examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The examples of each class, in the order of the classes; of a scale, up to its middle and above."""
    if not (data.labels or data.scale):
        raise ValueError("draw=balanced and draw=per_class draw from each class, and the data set has none; take any")
    classes: dict[str, list[Example]] = {label: [] for label in data.labels or ("low", "high")}
    for example in examples:
        target = example.references[0]
        classes[("high" if float(target) > sum(data.scale) / 2 else "low") if data.scale else target].append(example)
    return classes
