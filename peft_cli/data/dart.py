"""DART 1.1.1: triples of tables, WebNLG and E2E to text (Nan et al., 2021, https://aclanthology.org/2021.naacl-main.37)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from typing_extensions import TypedDict

from peft_cli.data import Data
from peft_cli.data.reading.origin import SPLITS, Origin, read_json
from peft_cli.data.reading.triples import Entry, entry_examples, text_examples

WHERE = "https://github.com/Yale-LILY/dart (data/v1.1.1)"


class Annotation(TypedDict):
    """One text about a set of triples."""

    text: str


class HubAnnotations(TypedDict):
    """All texts about a set of triples, as the hub has them."""

    text: list[str]


class Item(TypedDict):
    """A set of triples with its texts."""

    tripleset: list[tuple[str, str, str]]
    annotations: list[Annotation] | HubAnnotations


def read_dart(
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
    origin = Origin(root, WHERE, hub, rows)
    paths = origin.locate((train, "dart-v1.1.1-full-dev.json", "dart-v1.1.1-full-test.json"))
    if paths:
        parts = {split: read_json(path, list[Item]) for split, path in zip(SPLITS, paths, strict=True)}
    else:
        parts = origin.read_hub(Item)
    origin.check_counts(parts, is_hub=not paths)
    entries = {split: list(read_entries(part, lower_relations)) for split, part in parts.items()}
    return Data(
        train=text_examples(entries["train"]),
        validation=entry_examples(entries["validation"], "validation"),
        test=entry_examples(entries["test"], "test"),
        metrics=tuple(metrics),
        protocol="dart",
        notes=origin.notes(is_hub=not paths),
    )


def read_entries(items: Iterable[Item], lower_relations: bool) -> Iterator[Entry]:
    """The entry of each set of triples, by choice with its relations in lower case, as Li and Liang have them."""
    for item in items:
        triples = [(s, relation.lower() if lower_relations else relation, o) for s, relation, o in item["tripleset"]]
        annotations = item["annotations"]
        yield Entry(
            triples, annotations["text"] if isinstance(annotations, dict) else [one["text"] for one in annotations]
        )
