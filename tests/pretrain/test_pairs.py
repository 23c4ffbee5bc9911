"""The rows of mini_nli and mini_kinds: the embedded files are what the command writes, and the classes are true."""

import json
import lzma
from collections import Counter

import pytest

from peft_cli.pretrain.pairs import EMBEDDED, LABELS, SETS, nli_row, write_set
from peft_cli.pretrain.records import HELD_OUT, grammar

ROWS = [nli_row("train", i) for i in range(600)]


def embedded(name: str, split: str) -> bytes:
    return lzma.decompress((EMBEDDED / name / f"{split}.jsonl.xz").read_bytes())


def test_the_command_writes_the_embedded_bytes_of_mini_kinds_again(tmp_path):
    write_set("mini_kinds", tmp_path)
    for split in SETS["mini_kinds"][1]:
        assert lzma.decompress((tmp_path / f"{split}.jsonl.xz").read_bytes()) == embedded("mini_kinds", split)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_embedded_rows_of_mini_nli_are_made_again(split):
    lines, every = embedded("mini_nli", split).splitlines(keepends=True), 1 if split != "train" else 100
    assert len(lines) == SETS["mini_nli"][1][split]
    assert [json.dumps(nli_row(split, i)) + "\n" for i in range(0, len(lines), every)] == [
        line.decode() for line in lines[::every]
    ]


def test_other_splits_have_other_rows():
    assert len({nli_row(split, 0)["premise"] for split in ("train", "validation", "test")}) == 3


def test_every_class_is_about_as_frequent():
    counts = Counter(row["label"] for row in ROWS)
    assert set(counts) == set(LABELS) and min(counts.values()) > 150


def test_no_slot_is_open_and_no_held_out_kind_is_named():
    for row in ROWS:
        assert row["premise"] and row["hypothesis"].endswith(".") and "{" not in row["premise"] + row["hypothesis"]
    kinds = [kind for key in HELD_OUT for kind in grammar()[key]["kinds"]]
    assert not [row for row in ROWS for kind in kinds if row["hypothesis"].endswith(f" is a {kind}.")]


@pytest.mark.parametrize(("label", "is_in_premise"), [("entailment", True), ("contradiction", False)])
def test_a_made_up_value_is_in_the_premise_only_where_the_hypothesis_follows(label, is_in_premise):
    rows = [row for row in ROWS if row["label"] == label]
    values = [(row["premise"], row["hypothesis"].rstrip(".").split()[-1]) for row in rows]
    made_up = [(premise, value) for premise, value in values if value[0].isupper()]
    assert len(made_up) > 20
    share = sum(value in premise for premise, value in made_up) / len(made_up)
    assert share == 1 if is_in_premise else share < 0.3
