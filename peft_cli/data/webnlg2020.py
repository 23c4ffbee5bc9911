"""WebNLG+ 2020, release 3.0 in English (Castro Ferreira et al., 2020, https://aclanthology.org/2020.webnlg-1.7)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from peft_cli.data import Data
from peft_cli.data.reading.origin import check_counts, from_hub, locate, notes, told
from peft_cli.data.reading.rows import open_bytes
from peft_cli.data.reading.triples import Entry, inputs, pairs

TEST = "rdf-to-text-generation-test-data-with-refs-en"
FILES = (  # one of each folder; the counts tell whether all are there
    "train/1triples/Airport_allSolutions.xml",
    "dev/1triples/Airport_allSolutions.xml",
    f"test/{TEST}.xml",
    "test/rdf-to-text-generation-test-instance-types.json",
)
SUBSETS = {"type1": "seen_categories", "type2": "unseen_entities", "type3": "unseen_categories"}
WHERE = "https://gitlab.com/shimorina/webnlg-dataset (release_v3.0/en)"


def load(
    root: str, leading_bar: bool, rows: dict[str, int] | None, hub: dict[str, str] | None, metrics: list[str]
) -> Data:
    """35,421 training pairs of 13,211 sets of triples; 1,667 to validate; 1,779 to test, of three types.

    490 are of seen categories, 393 of unseen entities, 896 of unseen categories; the hub does not say which. Of the
    texts, those not found wanting. Raises ValueError where a file is absent or is not the official one.
    """
    paths = locate(root, FILES, WHERE, hub)
    parts = of_files(*paths) if paths else {split: list(of_hub(part)) for split, part in from_hub(hub).items()}
    check_counts({split: len(part) for split, part in parts.items()}, rows, f"data.root={root}", WHERE)
    return Data(
        train=pairs(parts["train"], leading_bar),
        validation=inputs(parts["validation"], "validation", leading_bar),
        test=inputs(parts["test"], "test", leading_bar),
        metrics=tuple(metrics),
        protocol="webnlg2020",
        notes=notes("files" if paths else told(hub), rows),
    )


def of_files(train: Path, dev: Path, test: Path, types: Path) -> dict[str, list[Entry]]:
    """The entries of each split; those of the test split with their type."""
    folders = {"train": train.parents[1], "validation": dev.parents[1]}
    parts = {split: [e for path in in_order(folder) for _, e in of_xml(path)] for split, folder in folders.items()}
    with open_bytes(types) as file:
        subset_of = {eid: SUBSETS[name] for eid, name in json.load(file).items()}
    return parts | {"test": [entry._replace(subset=subset_of[eid]) for eid, entry in of_xml(test)]}


def in_order(folder: Path) -> Sequence[Path]:
    """The XML files of a split: by number of triples, then by category."""
    return sorted(folder.glob("*triples/*.xml*"), key=lambda path: (path.parent.name, path.name.removesuffix(".gz")))


def of_xml(path: Path) -> Iterator[tuple[str, Entry]]:
    """The id and the entry of each set of triples in an XML file."""
    with open_bytes(path) as file:
        root = ElementTree.parse(file).getroot()
    for entry in root.iter("entry"):
        triples = [triple.text.split(" | ") for triple in entry.iterfind("modifiedtripleset/mtriple")]
        texts = [lex.text for lex in entry.iterfind("lex") if lex.get("comment", "good") == "good"]
        yield entry.get("eid"), Entry(triples, texts)


def of_hub(rows: Iterable[dict]) -> Iterator[Entry]:
    """The same of the hub's rows; of its test rows, those that the challenge scores."""
    for row in rows:
        if row["test_category"] in ("", TEST):
            triples = [triple.split(" | ") for triple in row["modified_triple_sets"]["mtriple_set"][0]]
            marked = zip(row["lex"]["comment"], row["lex"]["text"], strict=True)
            yield Entry(triples, [text for comment, text in marked if comment in ("", "good")])
