"""Texts about made-up bridges, parcels and pets, and which of these a text is about."""

from __future__ import annotations

from peft_cli.data import Data, Hypothesis
from peft_cli.pretrain import pairs
from peft_cli.pretrain.records import HELD_OUT


def load(kinds: list[str]) -> Data:
    """300 texts to train, 150 to validate and 300 to test, which `peft_cli.pretrain.pairs` makes.

    Raises ValueError for fewer than two `kinds`, or one that there is not.
    """
    if len(set(kinds)) < 2 or not set(kinds) <= set(HELD_OUT):
        raise ValueError(f"data.kinds={kinds} has to have two or more of {', '.join(HELD_OUT)}")
    sizes = {"train": 300, "validation": 150, "test": 300}
    splits = (pairs.kinds(split, count, kinds) for split, count in sizes.items())
    said = Hypothesis("It is a {label}.", tuple(kinds))
    return Data(*splits, metrics=("accuracy",), labels=tuple(kinds), hypothesis=said, protocol="glue")
