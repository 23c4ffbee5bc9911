"""WebNLG, challenge of 2017: triples to text (Gardent et al., 2017, https://aclanthology.org/W17-3518)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from peft_cli.data import Data
from peft_cli.data.reading.origin import SPLITS, check_counts, from_hub, locate, notes, told
from peft_cli.data.reading.rows import open_bytes
from peft_cli.data.reading.triples import Entry, inputs, pairs

FILES = ("train.json", "dev.json", "test.json")
WHERE = "https://github.com/XiangLi1999/PrefixTuning (data/webnlg_challenge_2017)"
TESTED = ("", "testdata_with_lex")  # the file of the hub's rows that the challenge scores


def load(
    root: str, leading_bar: bool, rows: dict[str, int] | None, hub: dict[str, str] | None, metrics: list[str]
) -> Data:
    """18,025 training pairs of 6,940 sets of triples, 871 to validate, 1,862 to test.

    Of the test set 971 are of seen and 891 of unseen categories. Of the texts, those marked good. Raises ValueError
    where a file is absent or is not the official one.
    """
    paths = locate(root, FILES, WHERE, hub)
    if paths:
        parts = {split: list(of_file(path)) for split, path in zip(SPLITS, paths, strict=True)}
    else:
        parts = {split: list(of_hub(part)) for split, part in from_hub(hub).items()}
    check_counts({split: len(part) for split, part in parts.items()}, rows, f"data.root={root}", WHERE)
    seen = {category for category, _ in parts["train"]}
    entries = {split: [entry for _, entry in part] for split, part in parts.items()}
    tested = [entry._replace(subset="seen" if category in seen else "unseen") for category, entry in parts["test"]]
    return Data(
        train=pairs(entries["train"], leading_bar),
        validation=inputs(entries["validation"], "validation", leading_bar),
        test=inputs(tested, "test", leading_bar),
        metrics=tuple(metrics),
        protocol="webnlg2017",
        notes=notes("files" if paths else told(hub), rows),
    )


def of_file(path: Path) -> Iterable[tuple[str, Entry]]:
    """The category and the entry of each set of triples in a JSON file."""
    with open_bytes(path) as file:
        numbered = json.load(file)["entries"]
    for entry in (entry for one in numbered for entry in one.values()):
        triples = [(t["subject"], t["property"], t["object"]) for t in entry["modifiedtripleset"]]
        texts = [lex["lex"] for lex in entry["lexicalisations"] if lex["comment"] == "good"]
        yield entry["category"], Entry(triples, texts)


def of_hub(rows: Iterable[dict]) -> Iterable[tuple[str, Entry]]:
    """The same of the hub's rows; of the test rows, those with texts for both kinds of categories."""
    for row in rows:
        if row["test_category"] in TESTED:
            triples = [tuple(triple.split(" | ")) for triple in row["modified_triple_sets"]["mtriple_set"][0]]
            marked = zip(row["lex"]["comment"], row["lex"]["text"], strict=True)
            yield row["category"], Entry(triples, [text for comment, text in marked if comment == "good"])
