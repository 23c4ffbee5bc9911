"""Texts about made-up bridges, parcels and pets, and which of these a text is about."""

from __future__ import annotations

from peft_cli.data import Data, Hypothesis
from peft_cli.embedded.pairs import kinds
from peft_cli.embedded.records import HELD_OUT


def load() -> Data:
    """300 texts to train, 150 to validate and 300 to test, which `peft_cli.embedded.pairs` makes."""
    splits = (kinds(split, count) for split, count in (("train", 300), ("validation", 150), ("test", 300)))
    said = Hypothesis("It is a {label}.", HELD_OUT)
    return Data(*splits, metrics=("accuracy",), labels=HELD_OUT, hypothesis=said, protocol="glue")
