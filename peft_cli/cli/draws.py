"""Which examples the few-shot draws of a data set have: experiments/draws.json, so that others can draw the same.

    python -m peft_cli.cli.draws experiments/draws.json e2e=data/e2e webnlg=data/webnlg dart=62659,2768

A data set is given by its `data.root`, or where its files are not at hand by the numbers of its training and
validation examples. These decide a draw, but for validation examples that share a source with a training example and
are left out; the checksum of the texts is null then.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from peft_cli.config.compose import compose
from peft_cli.config.targets import resolve
from peft_cli.data import Data, Example, few_shot
from peft_cli.data.reading.content import fingerprint

SHOTS = (50, 100, 200, 500)
SEEDS = range(5)


def main(path: str, *sets: str) -> None:
    """Writes the manifest of `sets`, each as name=root or name=numbers, to `path`."""
    manifest = {name: describe_draws(*read_set(name, given)) for name, _, given in (one.partition("=") for one in sets)}
    blocks = [
        f' "{name}": {{\n' + ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in part.items()) + "\n }"
        for name, part in manifest.items()
    ]
    Path(path).write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def read_set(name: str, given: str) -> tuple[Data, bool]:
    """The data set `name` from its root, or made-up texts by its numbers of examples; whether texts are real."""
    if given.replace(",", "").isdigit():
        sizes = zip(("train", "validation"), map(int, given.split(",")), strict=True)
        train, validation = ([Example(f"{s}-{i}", f"{s}-{i}", ("",)) for i in range(size)] for s, size in sizes)
        return Data(train, validation, test=[], metrics=()), False
    keys = compose([f"data={name}", f"data.root={given}"]).config["data"]
    return resolve(keys.pop("_target_"), "data")(**keys), True


def describe_draws(data: Data, has_texts: bool) -> dict[str, object]:
    """The draws of `data`, by data_seed.

    `train` and `validation` are the numbers in the ids of 500 shots; a smaller draw is their beginning. The SHA-256
    of each number of shots is over the ids, one a line, of training and then validation examples; and over their texts.
    """
    rows: dict[str, object] = {"n_train": len(data.train), "n_validation": len(data.validation)}
    for seed in SEEDS:
        draws = {shots: few_shot(data, shots, seed, None) for shots in SHOTS}
        examples = {shots: [*draw.train, *draw.validation] for shots, draw in draws.items()}
        largest = draws[max(SHOTS)]
        rows[str(seed)] = {
            "train": numbers(largest.train),
            "validation": numbers(largest.validation),
            "ids_sha256": {shots: ids_checksum(drawn) for shots, drawn in examples.items()},
            "texts_sha256": {shots: fingerprint(drawn) if has_texts else None for shots, drawn in examples.items()},
        }
    return rows


def numbers(examples: Sequence[Example]) -> list[int]:
    """The number in each example's id."""
    return [int(example.id.rpartition("-")[2]) for example in examples]


def ids_checksum(examples: Sequence[Example]) -> str:
    """The SHA-256 of the examples' ids, one a line."""
    return hashlib.sha256("".join(f"{example.id}\n" for example in examples).encode()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
