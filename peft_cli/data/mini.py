"""Records of garden plants to a catalogue's prose: a small set that `python -m peft_cli.pretrain.mini` makes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import EMBEDDED, SPLITS
from peft_cli.data.reading.rows import read_rows


def read_mini() -> Data:
    """800 training pairs, 200 validation and 200 test inputs with two to four references each."""
    train, validation, test = (read_examples(EMBEDDED / "mini" / f"{split}.jsonl") for split in SPLITS)
    return Data(train, validation, test, metrics=("bleu", "rouge"))


def read_examples(path: Path) -> list[Example]:
    """The examples of one split."""
    rows = [cast(dict[str, list[str]], row.cells) for row in read_rows(path)]
    return [Example(str(row["id"]), str(row["source"]), tuple(row["references"])) for row in rows]
