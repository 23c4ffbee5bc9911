"""E2E NLG: a restaurant's attributes to a sentence (Novikova et al., 2017, https://aclanthology.org/W17-5525)."""

from __future__ import annotations

import re
from pathlib import Path

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import SPLITS, check_counts, from_hub, locate, notes, told
from peft_cli.data.reading.rows import read

FILES = ("trainset.csv", "devset.csv", "testset_w_refs.csv")  # of the official release
NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}  # as Li and Liang write them
WHERE = "https://github.com/tuetschek/e2e-dataset/releases"


def load(root: str, rows: dict[str, int] | None, hub: dict[str, str] | None, metrics: list[str]) -> Data:
    """42,061 training pairs, and for validation and test 547 and 630 inputs with all their references.

    `root` is the folder of the official CSV files. Raises ValueError where one is absent or is not the official one.
    """
    paths = locate(root, FILES, WHERE, hub)
    if paths:
        parts = {split: of_file(path) for split, path in zip(SPLITS, paths, strict=True)}
    else:
        names = ("meaning_representation", "human_reference")
        parts = {split: [tuple(row[name] for name in names) for row in part] for split, part in from_hub(hub).items()}
    check_counts({split: len(part) for split, part in parts.items()}, rows, f"data.root={root}", WHERE)
    return Data(
        train=[Example(f"train-{i}", linearise(mr), (ref,)) for i, (mr, ref) in enumerate(parts["train"])],
        validation=group(parts["validation"], "validation"),
        test=group(parts["test"], "test"),
        metrics=tuple(metrics),
        protocol="e2e",
        notes=notes("files" if paths else told(hub), rows),
    )


def of_file(path: Path) -> list[tuple[str, str]]:
    """The meaning representation and the text of each row."""
    rows = read(path)
    columns = set(rows[0].cells) if rows else {"none"}
    if not {"mr", "ref"} <= columns:
        raise ValueError(f"{path} has the columns {', '.join(sorted(columns))}; it has to have mr and ref")
    return [(row.cells["mr"], row.cells["ref"]) for row in rows]


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
