"""Which examples train, validate and test, where a data set was not published with all three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from peft_cli.data import Example

SplitName = Literal["official", "halves", "from_train", "holdout", "lmbff"]
SEED = 42  # of Shi and Lipani's code, https://github.com/ZhengxiangShi/DePT
HELD_OUT = 1000  # training examples that validate, as there
TESTED = 2000  # examples that test where nothing is split, as many as in Gao et al. (2021)

Three = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]


def split_examples(
    split: SplitName, train: Sequence[Example], validation: Sequence[Example], test: Sequence[Example]
) -> Three:
    """Training, validation and test examples by the rule `split`.

    official takes the three as published. halves cuts the validation split in two, the first to validate and the
    second to test: what Shi and Lipani do with small data sets. from_train validates on 1,000 training examples and
    tests on the test split, or where that has no labels on the validation split: what they do with large ones. holdout
    tests on 2,000 training examples and validates on 1,000. Raises ValueError where a rule lacks what it needs.
    """
    if split == "official":
        return train, validation, require(split, "labelled test", test)
    if split == "halves":
        first, second = hold_out(require(split, "validation", validation), len(validation) // 2)
        return require(split, "training", train), first, second
    if split == "from_train":
        held_out, rest = hold_out(require(split, "training", train), HELD_OUT)
        tested = require(split, "test", test or validation)
        return require(split, f"more than {HELD_OUT} training", rest), held_out, tested
    tested, rest = hold_out(require(split, "training", train), TESTED)
    held_out, rest = hold_out(rest, HELD_OUT)
    return require(split, f"more than {TESTED + HELD_OUT} training", rest), held_out, tested


def split_sources(shares: Sequence[float], examples: Sequence[Example]) -> Three:
    """Training, validation and test examples that are `shares` of all sources; no two splits have a source in common.

    Raises ValueError unless there are three shares that make 1 in all, and for fewer sources than splits.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or not shares[0] or not shares[2]:
        raise ValueError(
            f"data.split=[{', '.join(f'{share:g}' for share in shares)}] has to have three shares that make 1 in all, "
            "of training, validation (which may be 0) and test, as in [0.8,0.1,0.1]"
        )
    sources = list(dict.fromkeys(example.source for example in examples))
    sizes = [max(1, round(share * len(sources))) if share else 0 for share in shares[1:]]
    if sum(sizes) >= len(sources):
        raise ValueError(f"data.split needs an input for each split, and data.train has {len(sources)} in all")
    order = [sources[i] for i in permutation(len(sources))]
    split_of = dict.fromkeys(order[: sizes[0]], 1) | dict.fromkeys(order[sizes[0] : sum(sizes)], 2)
    train, validation, test = ([e for e in examples if split_of.get(e.source, 0) == i] for i in range(3))
    return train, validation, test


def hold_out(examples: Sequence[Example], size: int) -> tuple[list[Example], list[Example]]:
    """`size` of the examples and the rest, in the order in which Shi and Lipani's code shuffles them."""
    order = permutation(len(examples))
    return [examples[i] for i in order[:size]], [examples[i] for i in order[size:]]


def permutation(n: int) -> list[int]:
    """The numbers below `n` in the order of torch.randperm with seed 42, without torch."""
    draws = np.random.RandomState(SEED).randint(0, 2**32, max(0, n - 1), np.uint32)  # as torch draws
    order = list(range(n))
    for i, draw in enumerate(draws.tolist()):
        j = i + draw % (n - i)
        order[i], order[j] = order[j], order[i]
    return order


def require(split: str, kind: str, examples: Sequence[Example]) -> Sequence[Example]:
    """`examples`; raises ValueError where there are none."""
    if not examples:
        raise ValueError(
            f"data.split={split} needs {kind} examples and there are none; take another data.split, such as "
            "[0.8,0.1,0.1] for a single file"
        )
    return examples
