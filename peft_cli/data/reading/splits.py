"""Which examples train, validate and test, where a data set was not published with all three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from peft_cli.data import Example

Split = Literal["official", "halves", "from_train", "holdout", "lmbff"]
SEED = 42  # of Shi and Lipani's code, https://github.com/ZhengxiangShi/DePT
HELD_OUT = 1000  # training examples that validate, as there
TESTED = 2000  # examples that test where nothing is split, as many as in Gao et al. (2021)

Three = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]


def split_up(split: Split, train: Sequence[Example], validation: Sequence[Example], test: Sequence[Example]) -> Three:
    """Training, validation and test examples by the rule `split`.

    official takes the three as published. halves cuts the validation split in two, the first to validate and the
    second to test: what Shi and Lipani do with small data sets. from_train validates on 1,000 training examples and
    tests on the test split, or where that has no labels on the validation split: what they do with large ones. holdout
    tests on 2,000 training examples and validates on 1,000. Raises ValueError where a rule lacks what it needs.
    """
    if split == "official":
        return train, validation, need(split, "labelled test", test)
    if split == "halves":
        first, second = part(need(split, "validation", validation), len(validation) // 2)
        return need(split, "training", train), first, second
    if split == "from_train":
        held_out, rest = part(need(split, "training", train), HELD_OUT)
        return need(split, f"more than {HELD_OUT} training", rest), held_out, need(split, "test", test or validation)
    tested, rest = part(need(split, "training", train), TESTED)
    held_out, rest = part(rest, HELD_OUT)
    return need(split, f"more than {TESTED + HELD_OUT} training", rest), held_out, tested


def part(examples: Sequence[Example], size: int) -> tuple[list[Example], list[Example]]:
    """`size` of the examples and the rest, in the order in which Shi and Lipani's code shuffles them."""
    import torch

    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(SEED)).tolist()
    return [examples[i] for i in order[:size]], [examples[i] for i in order[size:]]


def need(split: str, kind: str, examples: Sequence[Example]) -> Sequence[Example]:
    """`examples`; raises ValueError where there are none."""
    if not examples:
        raise ValueError(f"data.split={split} needs {kind} examples and there are none; take another data.split")
    return examples
