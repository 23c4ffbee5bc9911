"""Texts about made-up things, each with a sentence that follows from it, contradicts it or does neither."""

from __future__ import annotations

from pydantic import PositiveInt

from peft_cli.data import Data
from peft_cli.pretrain.pairs import LABELS, nli


def load(n_train: PositiveInt, between: str) -> Data:
    """`n_train` pairs to train, 500 to validate and 500 to test, which `peft_cli.pretrain.pairs` makes."""
    splits = (nli(split, count, between) for split, count in (("train", n_train), ("validation", 500), ("test", 500)))
    return Data(*splits, metrics=("accuracy",), labels=LABELS, protocol="glue")
