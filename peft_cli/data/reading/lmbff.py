"""The draws that Gao et al. (2021) published: folders such as 16-13, 16 examples of each class by the seed 13."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from peft_cli.data import Example
from peft_cli.data.reading.examples import ExampleReader
from peft_cli.data.reading.origin import find_file

Draws = dict[tuple[int, int], tuple[Sequence[Example], Sequence[Example]]]


def read_lmbff(root: Path, test: str | None, reader: ExampleReader) -> tuple[Draws, list[Example]]:
    """The training and validation examples of each draw, by shots and seed, and the test examples of all.

    Raises ValueError where `root` is no folder of a task of LM-BFF.
    """
    draws: Draws = {}
    folders = sorted(path for path in root.glob("*-*") if re.fullmatch(r"\d+-\d+", path.name))
    for folder in folders:
        shots, seed = map(int, folder.name.split("-"))
        files = {"train": first_file(folder, "train*"), "validation": first_file(folder, "dev*")}
        parts = [reader.read_file(path, split) for split, path in files.items()]
        train, validation = ([replace(e, id=f"{folder.name}/{e.id}") for e in part] for part in parts)
        draws[shots, seed] = train, validation
    if not draws:
        raise ValueError(
            f"data.split=lmbff: data.root={root} has no folder such as 16-13; make LM-BFF's k-shot files as "
            "https://github.com/princeton-nlp/LM-BFF tells, and say data.root=<the folder of the task>"
        )
    # Each folder has the same test file, or the folder above has it once.
    found = [path for place in (root, folders[-1]) for path in sorted(place.glob("test*.*"))]
    path = found[0] if found else find_file(root, test or "")
    if path is None:
        raise ValueError(
            f"data.split=lmbff: data.root={root} has no test file; put it there, or say data.test=<its path>"
        )
    return draws, reader.read_file(path, "test")


def first_file(folder: Path, pattern: str) -> Path:
    """The first file of `folder` that matches `pattern`."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise ValueError(f"data.split=lmbff: {folder} has no {pattern}")
    return found[0]
