"""Records of garden plants to a catalogue's prose: a small set that `peft_cli.pretrain.mini` made."""

from __future__ import annotations

import json
from pathlib import Path

from peft_cli.data import Data, Example

FOLDER = Path(__file__).parent.parent / "embedded" / "mini"


def load() -> Data:
    """800 training pairs, 200 validation and 200 test inputs with two to four references each."""
    return Data(
        *(read(FOLDER / f"{split}.jsonl") for split in ("train", "validation", "test")), metrics=("bleu", "rouge")
    )


def read(path: Path) -> list[Example]:
    """The examples of one split."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Example(row["id"], row["source"], tuple(row["references"])) for row in rows]
