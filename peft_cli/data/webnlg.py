"""WebNLG, challenge of 2017: triples to text (Gardent et al., 2017, https://aclanthology.org/W17-3518)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from typing_extensions import TypedDict

from peft_cli.data import Data
from peft_cli.data.reading.origin import SPLITS, Origin, read_json
from peft_cli.data.reading.triples import Entry, HubEntry, entry_examples, split_triples, text_examples

FILES = ("train.json", "dev.json", "test.json")
WHERE = "https://github.com/XiangLi1999/PrefixTuning (data/webnlg_challenge_2017)"
TESTED = ("", "testdata_with_lex")  # the file of the hub's rows that the challenge scores


class Triple(TypedDict):
    """A triple of the modified triple set, which is the input."""

    subject: str
    property: str
    object: str


class Text(TypedDict):
    """A text, and whether the annotators found it good."""

    comment: str
    lex: str


class FileEntry(TypedDict):
    """A set of triples with its category and texts."""

    category: str
    modifiedtripleset: list[Triple]
    lexicalisations: list[Text]


class File(TypedDict):
    """A file of the challenge: each entry by its number."""

    entries: list[dict[str, FileEntry]]


def read_webnlg(
    root: str, leading_bar: bool, rows: dict[str, int] | None, hub: dict[str, str] | None, metrics: list[str]
) -> Data:
    """18,025 training pairs of 6,940 sets of triples, 871 to validate, 1,862 to test; of the texts, those marked good.

    Of the test set 971 are of seen and 891 of unseen categories. Raises ValueError where a file is absent or is not the
    official one.
    """
    origin = Origin(root, WHERE, hub, rows)
    paths = origin.locate(FILES)
    if paths:
        parts = {split: list(read_file(path)) for split, path in zip(SPLITS, paths, strict=True)}
    else:
        parts = {split: list(from_hub(part)) for split, part in origin.read_hub(HubEntry).items()}
    origin.check_counts(parts, is_hub=not paths)
    seen = {category for category, _ in parts["train"]}
    entries = {split: [entry for _, entry in part] for split, part in parts.items()}
    tested = [entry._replace(subset="seen" if category in seen else "unseen") for category, entry in parts["test"]]
    return Data(
        train=text_examples(entries["train"], leading_bar),
        validation=entry_examples(entries["validation"], "validation", leading_bar),
        test=entry_examples(tested, "test", leading_bar),
        metrics=tuple(metrics),
        protocol="webnlg2017",
        notes=origin.notes(is_hub=not paths),
    )


def read_file(path: Path) -> Iterator[tuple[str, Entry]]:
    """The category and the entry of each set of triples in a JSON file."""
    for entry in (entry for numbered in read_json(path, File)["entries"] for entry in numbered.values()):
        triples = [(t["subject"], t["property"], t["object"]) for t in entry["modifiedtripleset"]]
        texts = [text["lex"] for text in entry["lexicalisations"] if text["comment"] == "good"]
        yield entry["category"], Entry(triples, texts)


def from_hub(rows: Iterable[HubEntry]) -> Iterator[tuple[str, Entry]]:
    """The same of the hub's rows; of the test rows, those with texts for both kinds of categories."""
    for row in rows:
        if row["test_category"] in TESTED:
            marked = zip(row["lex"]["comment"], row["lex"]["text"], strict=True)
            triples = split_triples(row["modified_triple_sets"]["mtriple_set"][0])
            yield row["category"], Entry(triples, [text for comment, text in marked if comment == "good"])
