"""Texts about made-up things, each with a sentence that follows from it, contradicts it or does neither."""

from __future__ import annotations

from pydantic import PositiveInt

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import EMBEDDED
from peft_cli.data.reading.rows import read_rows

LABELS = ("entailment", "neutral", "contradiction")


def read_mini_nli(n_train: PositiveInt, between: str) -> Data:
    """The first `n_train` of 50,000 pairs to train, 500 to validate, 500 to test; `between` joins the two texts.

    `python -m peft_cli.pretrain.pairs` makes them. Raises ValueError for a larger `n_train`.
    """
    train = read_examples("train", between, n_train)
    if n_train > len(train):
        raise ValueError(f"data.n_train={n_train} asks for more than the {len(train)} training pairs there are")
    validation, test = read_examples("validation", between), read_examples("test", between)
    return Data(train, validation, test, metrics=("accuracy",), labels=LABELS, protocol="glue")


def read_examples(split: str, between: str, limit: int | None = None) -> list[Example]:
    """The first `limit` examples of one split, or all."""
    rows = [row.cells for row in read_rows(EMBEDDED / "mini_nli" / f"{split}.jsonl.xz", limit=limit)]
    return [
        Example(f"{split}-{i}", f"{row['premise']}{between}{row['hypothesis']}", (str(row["label"]),))
        for i, row in enumerate(rows)
    ]
