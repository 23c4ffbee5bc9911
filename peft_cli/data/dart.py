"""DART 1.1.1: triples of tables, WebNLG and E2E to text (Nan et al., 2021, https://aclanthology.org/2021.naacl-main.37)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from peft_cli.data import Data
from peft_cli.data.reading.origin import SPLITS, check_counts, from_hub, locate, notes, told
from peft_cli.data.reading.rows import open_bytes
from peft_cli.data.reading.triples import Entry, inputs, pairs

WHERE = "https://github.com/Yale-LILY/dart (data/v1.1.1)"


def load(
    root: str,
    train: str,
    lower_relations: bool,
    rows: dict[str, int] | None,
    hub: dict[str, str] | None,
    metrics: list[str],
) -> Data:
    """62,659 training pairs of 30,526 sets of triples; 2,768 to validate; 5,097 to test, of which many are alike.

    Raises ValueError where a file is absent (the training file is large, and many copies lack it) or is not the
    official one.
    """
    files = (train, "dart-v1.1.1-full-dev.json", "dart-v1.1.1-full-test.json")
    paths = locate(root, files, WHERE, hub)
    parts = {split: of_file(path) for split, path in zip(SPLITS, paths, strict=True)} if paths else from_hub(hub)
    check_counts({split: len(part) for split, part in parts.items()}, rows, f"data.root={root}", WHERE)
    found = {split: list(entries(part, lower_relations)) for split, part in parts.items()}
    return Data(
        train=pairs(found["train"]),
        validation=inputs(found["validation"], "validation"),
        test=inputs(found["test"], "test"),
        metrics=tuple(metrics),
        protocol="dart",
        notes=notes("files" if paths else told(hub), rows),
    )


def of_file(path: Path) -> list[dict]:
    """The sets of triples of a JSON file."""
    with open_bytes(path) as file:
        return json.load(file)


def entries(items: Iterable[dict], lower_relations: bool) -> Iterator[Entry]:
    """The entry of each set of triples, its relations in lower case where that is asked for, as Li and Liang do."""
    for item in items:
        triples = [(s, relation.lower() if lower_relations else relation, o) for s, relation, o in item["tripleset"]]
        annotations = item["annotations"]
        of_hub = isinstance(annotations, dict)  # the hub has a list for each field
        yield Entry(triples, annotations["text"] if of_hub else [one["text"] for one in annotations])
