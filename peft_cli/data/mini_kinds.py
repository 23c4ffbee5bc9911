"""Texts about made-up bridges, parcels and pets, and which of these a text is about."""

from __future__ import annotations

from peft_cli.data import Data, Example, Hypothesis
from peft_cli.data.reading.origin import EMBEDDED, SPLITS
from peft_cli.data.reading.rows import read_rows

KINDS = ("bridge", "parcel", "pet")


def read_mini_kinds(kinds: list[str]) -> Data:
    """300 texts to train, 150 to validate and 300 to test, which `python -m peft_cli.pretrain.pairs` makes.

    Raises ValueError for fewer than two `kinds`, one that is there twice, or one that does not exist.
    """
    if len(kinds) < 2 or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise ValueError(f"data.kinds=[{', '.join(kinds)}] has to have two or more of {', '.join(KINDS)}, each once")
    train, validation, test = (read_examples(split, kinds) for split in SPLITS)
    hypothesis, labels = Hypothesis("It is a {label}.", tuple(kinds)), tuple(kinds)
    return Data(train, validation, test, ("accuracy",), labels, hypothesis=hypothesis, protocol="glue")


def read_examples(split: str, kinds: list[str]) -> list[Example]:
    """The examples of one split: a text of each row, of the kinds in turn."""
    rows = read_rows(EMBEDDED / "mini_kinds" / f"{split}.jsonl.xz")
    chosen = [(kinds[i % len(kinds)], row.cells) for i, row in enumerate(rows)]
    return [Example(f"{split}-{i}", str(cells[kind]), (kind,)) for i, (kind, cells) in enumerate(chosen)]
