"""E2E NLG: a restaurant's attributes to a sentence (Novikova et al., 2017, https://aclanthology.org/W17-5525)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import SPLITS, Origin
from peft_cli.data.reading.rows import read_rows, text_of

FILES = ("trainset.csv", "devset.csv", "testset_w_refs.csv")  # of the official release
NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}  # as Li and Liang write them
WHERE = "https://github.com/tuetschek/e2e-dataset/releases"

Pair = tuple[str, str]  # a meaning representation and a text


class HubRow(TypedDict):
    """A pair as the hub has it."""

    meaning_representation: str
    human_reference: str


def read_e2e(
    root: str,
    linearization: Literal["plain", "li_liang"],
    rows: dict[str, int] | None,
    hub: dict[str, str] | None,
    metrics: list[str],
) -> Data:
    """42,061 training pairs, and for validation and test 547 and 630 inputs with all their references.

    `root` is the folder of the official CSV files. Raises ValueError where one is absent or is not the official one.
    """
    origin = Origin(root, WHERE, hub, rows)
    paths = origin.locate(FILES)
    if paths:
        parts = {split: read_pairs(path) for split, path in zip(SPLITS, paths, strict=True)}
    else:
        parts = {
            split: [(row["meaning_representation"], row["human_reference"]) for row in part]
            for split, part in origin.read_hub(HubRow).items()
        }
    origin.check_counts(parts, is_hub=not paths)
    linearise = {"plain": linearise_plain, "li_liang": linearise_li_liang}[linearization]
    return Data(
        train=[Example(f"train-{i}", linearise(mr), (ref,)) for i, (mr, ref) in enumerate(parts["train"])],
        validation=group_by_input(parts["validation"], "validation", linearise),
        test=group_by_input(parts["test"], "test", linearise),
        metrics=tuple(metrics),
        protocol="e2e",
        notes=origin.notes(is_hub=not paths),
    )


def read_pairs(path: Path) -> list[Pair]:
    """The meaning representation and the text of each row."""
    rows = read_rows(path)
    columns = set(rows[0].cells) if rows else {"none"}
    if not {"mr", "ref"} <= columns:
        raise ValueError(f"{path} has the columns {', '.join(sorted(columns))}; it has to have mr and ref")
    return [(text_of(row.cells["mr"]), text_of(row.cells["ref"])) for row in rows]


def group_by_input(pairs: Iterable[Pair], split: str, linearise: Callable[[str], str]) -> list[Example]:
    """One example for each meaning representation, with all its references, in the order of the file."""
    references: dict[str, list[str]] = {}
    for mr, ref in pairs:
        references.setdefault(mr, []).append(ref)
    return [Example(f"{split}-{i}", linearise(mr), tuple(refs)) for i, (mr, refs) in enumerate(references.items())]


def linearise_plain(mr: str) -> str:
    """ "name[Alimentum], area[city centre]" as "name : Alimentum | area : city centre", with Li and Liang's names."""
    slots = re.findall(r"(\w[\w ]*)\[([^\]]*)\]", mr)
    return " | ".join(f"{NAMES.get(name, name)} : {value}" for name, value in slots)


def linearise_li_liang(mr: str) -> str:
    """The source of Li and Liang (2021): the same with tokenised prices, "price : £ 20 - 25".

    Their texts are tokenised too; ours are those of the official files, which the references are as well.
    """
    return re.sub(r"(?<=\d)-(?=\d)", " - ", linearise_plain(mr).replace("£", "£ "))
