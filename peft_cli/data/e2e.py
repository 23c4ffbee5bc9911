"""E2E NLG: a restaurant's attributes to a sentence (Novikova et al., 2017, https://aclanthology.org/W17-5525)."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from peft_cli.data import Data, Example

ROWS = {"trainset.csv": 42061, "devset.csv": 4672, "testset_w_refs.csv": 4693}  # of the official release
NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}  # as Li and Liang write them
WHERE = "https://github.com/tuetschek/e2e-dataset/releases"


def load(root: str) -> Data:
    """42,061 training pairs, and for validation and test 547 and 630 inputs with all their references.

    `root` is the folder of the official CSV files. Raises ValueError where one is absent or is not the official one.
    """
    train, validation, test = (read(Path(root) / name, rows) for name, rows in ROWS.items())
    return Data(
        train=[Example(f"train-{i}", linearise(mr), (ref,)) for i, (mr, ref) in enumerate(train)],
        validation=group(validation, "validation"),
        test=group(test, "test"),
        metrics=("bleu", "nist", "meteor", "rouge_l", "cider"),
        protocol="e2e",
    )


def read(path: Path, expected: int) -> list[tuple[str, str]]:
    """The meaning representation and the text of each row."""
    if not path.is_file():
        raise ValueError(
            f"data.root={path.parent} has no {path.name}; get the files from {WHERE} and say data.root=<their folder>"
        )
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"mr", "ref"} <= set(reader.fieldnames or ()):
            raise ValueError(
                f"{path} has the columns {', '.join(reader.fieldnames or ['none'])}; it has to have mr and ref"
            )
        rows = [(row["mr"], row["ref"]) for row in reader]
    if len(rows) != expected:
        raise ValueError(
            f"{path} has {len(rows)} rows where the official file has {expected}; get it again from {WHERE}"
        )
    return rows


def group(rows: list[tuple[str, str]], split: str) -> list[Example]:
    """One example for each meaning representation, with all its references, in the order of the file."""
    references: dict[str, list[str]] = {}
    for mr, ref in rows:
        references.setdefault(mr, []).append(ref)
    return [Example(f"{split}-{i}", linearise(mr), tuple(refs)) for i, (mr, refs) in enumerate(references.items())]


def linearise(mr: str) -> str:
    """ "name[Alimentum], area[city centre]" as "name : Alimentum | area : city centre", as Li and Liang do."""
    slots = re.findall(r"(\w[\w ]*)\[([^\]]*)\]", mr)
    return " | ".join(f"{NAMES.get(name, name)} : {value}" for name, value in slots)
