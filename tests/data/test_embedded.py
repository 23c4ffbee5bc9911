"""The data sets that ship with the package."""

from collections import Counter

import pytest

from peft_cli.data.mini import read_mini
from peft_cli.data.mini_kinds import read_mini_kinds
from peft_cli.data.mini_nli import read_mini_nli
from peft_cli.data.reading.content import content_hashes


def sizes(data) -> list[int]:
    return [len(part) for part in (data.train, data.validation, data.test)]


def test_mini_has_its_sizes_and_references():
    data = read_mini()
    assert sizes(data) == [800, 200, 200] and data.metrics == ("bleu", "rouge")
    assert {len(example.references) for example in data.test} == {2, 3, 4}
    assert data.train[0].id == "train-0001"


def test_mini_nli_takes_the_first_pairs():
    few, more = read_mini_nli(50, " => "), read_mini_nli(60, " => ")
    assert sizes(few) == [50, 500, 500] and list(more.train[:50]) == list(few.train)
    assert few.labels == ("entailment", "neutral", "contradiction") and few.protocol == "glue"


def test_mini_nli_joins_its_texts_by_what_is_between():
    one, two = read_mini_nli(1, "</s></s>").train[0], read_mini_nli(1, " so: ").train[0]
    premise, hypothesis = one.source.split("</s></s>")
    assert two.source == f"{premise} so: {hypothesis}" and one.id == "train-0"


def test_more_pairs_than_there_are_are_refused():
    with pytest.raises(ValueError, match="n_train=50001 asks for more than the 50000 training pairs there are"):
        read_mini_nli(50_001, " ")


@pytest.mark.parametrize("kinds", [["bridge", "parcel", "pet"], ["pet", "bridge"]])
def test_mini_kinds_has_its_kinds_in_turn(kinds):
    data = read_mini_kinds(kinds)
    assert sizes(data) == [300, 150, 300] and data.labels == tuple(kinds) == data.hypothesis.words
    assert Counter(example.references[0] for example in data.test) == dict.fromkeys(kinds, 300 // len(kinds))
    assert [example.references[0] for example in data.train[: len(kinds)]] == kinds


@pytest.mark.parametrize("kinds", [["pet"], ["pet", "pet"], ["pet", "bridge", "pet"], ["pet", "horse"]])
def test_other_kinds_are_refused(kinds):
    with pytest.raises(ValueError, match="has to have two or more of bridge, parcel, pet, each once"):
        read_mini_kinds(kinds)


HASHES = {
    f"{name} {split}": digest
    for name, data in {
        "mini": read_mini(),
        "mini_nli": read_mini_nli(10_000, "</s></s>"),
        "mini_kinds": read_mini_kinds(["bridge", "parcel", "pet"]),
    }.items()
    for split, digest in content_hashes(data).items()
}
PUBLISHED = {
    "mini train": "a1363462f1c6",
    "mini validation": "7455915fceea",
    "mini test": "c0d2afe7312f",
    "mini_kinds train": "31ee603a7236",
    "mini_kinds validation": "77e2674f10d9",
    "mini_kinds test": "0778bc47b9a0",
    "mini_nli train": "3c6b7a962d81",
    "mini_nli validation": "b07163c22b1a",
    "mini_nli test": "e340b4d82396",
}


def test_the_embedded_examples_are_those_that_the_published_tables_were_made_of():
    # the first digits of content_hashes(read_mini()), content_hashes(read_mini_nli(10_000, "</s></s>")), ...
    assert {name: digest[:12] for name, digest in HASHES.items()} == PUBLISHED
