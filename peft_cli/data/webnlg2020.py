"""WebNLG+ 2020, release 3.0 in English (Castro Ferreira et al., 2020, https://aclanthology.org/2020.webnlg-1.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from peft_cli.data import Data
from peft_cli.data.reading.origin import Origin, read_json
from peft_cli.data.reading.rows import open_bytes, readable
from peft_cli.data.reading.triples import Entry, HubEntry, entry_examples, split_triples, text_examples

TEST = "rdf-to-text-generation-test-data-with-refs-en"
FILES = (  # one of each folder; the counts tell whether all are there
    "train/1triples/Airport_allSolutions.xml",
    "dev/1triples/Airport_allSolutions.xml",
    f"test/{TEST}.xml",
    "test/rdf-to-text-generation-test-instance-types.json",
)
SUBSETS = {"type1": "seen_categories", "type2": "unseen_entities", "type3": "unseen_categories"}
WHERE = "https://gitlab.com/shimorina/webnlg-dataset (release_v3.0/en)"


def read_webnlg2020(
    root: str, leading_bar: bool, rows: dict[str, int] | None, hub: dict[str, str] | None, metrics: list[str]
) -> Data:
    """35,421 training pairs of 13,211 sets of triples; 1,667 to validate; 1,779 to test, of three types.

    490 are of seen categories, 393 of unseen entities, 896 of unseen categories; the hub lacks these types. Texts that
    the annotators marked as bad are left out. Raises ValueError where a file is absent or is not the official one.
    """
    origin = Origin(root, WHERE, hub, rows)
    paths = origin.locate(FILES)
    parts = read_files(*paths) if paths else {s: list(from_hub(part)) for s, part in origin.read_hub(HubEntry).items()}
    origin.check_counts(parts, is_hub=not paths)
    return Data(
        train=text_examples(parts["train"], leading_bar),
        validation=entry_examples(parts["validation"], "validation", leading_bar),
        test=entry_examples(parts["test"], "test", leading_bar),
        metrics=tuple(metrics),
        protocol="webnlg2020",
        notes=origin.notes(is_hub=not paths),
    )


def read_files(train: Path, dev: Path, test: Path, types: Path) -> dict[str, list[Entry]]:
    """The entries of each split; those of the test split with their type."""
    folders = {"train": train.parents[1], "validation": dev.parents[1]}
    parts = {split: [e for path in in_order(folder) for _, e in read_xml(path)] for split, folder in folders.items()}
    type_of = read_json(types, dict[str, Literal["type1", "type2", "type3"]])
    tested = list(read_xml(test))
    if missing := [eid for eid, _ in tested if eid not in type_of]:
        raise ValueError(f"{types} has no type of the entry {missing[0]} of {test.name}")
    return parts | {"test": [entry._replace(subset=SUBSETS[type_of[eid]]) for eid, entry in tested]}


def in_order(folder: Path) -> Sequence[Path]:
    """The XML files of a split: by number of triples, then by category."""
    return sorted(folder.glob("*triples/*.xml*"), key=lambda path: (path.parent.name, path.name.removesuffix(".gz")))


def read_xml(path: Path) -> Iterator[tuple[str, Entry]]:
    """The id and the entry of each set of triples in an XML file."""
    try:
        with readable(path), open_bytes(path) as file:
            root = ElementTree.parse(file).getroot()
        for entry in root.iter("entry"):
            triples = split_triples([triple.text or "" for triple in entry.iterfind("modifiedtripleset/mtriple")])
            texts = [lex.text or "" for lex in entry.iterfind("lex") if lex.get("comment", "good") == "good"]
            yield entry.get("eid", ""), Entry(triples, texts)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path} is no file of this data set ({error})") from error


def from_hub(rows: Iterable[HubEntry]) -> Iterator[Entry]:
    """The same of the hub's rows; of its test rows, those that the challenge scores."""
    for row in rows:
        if row["test_category"] in ("", TEST):
            marked = zip(row["lex"]["comment"], row["lex"]["text"], strict=True)
            triples = split_triples(row["modified_triple_sets"]["mtriple_set"][0])
            yield Entry(triples, [text for comment, text in marked if comment in ("", "good")])
