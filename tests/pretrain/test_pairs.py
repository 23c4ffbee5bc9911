"""Pairs from the grammars: their classes are what they say."""

from collections import Counter

import pytest

from peft_cli.data import mini_kinds, mini_nli
from peft_cli.pretrain.pairs import LABELS, nli
from peft_cli.pretrain.records import HELD_OUT, grammar

PAIRS = nli("train", 600, " => ")


def halves(example) -> tuple[str, str]:
    premise, _, claim = example.source.rpartition(" => ")
    return premise, claim


def test_a_pair_is_a_function_of_its_number():
    assert nli("train", 5, " => ") == PAIRS[:5] and nli("test", 5, " => ")[0].source != PAIRS[0].source


def test_every_class_is_about_as_frequent():
    counts = Counter(example.references[0] for example in PAIRS)
    assert set(counts) == set(LABELS) and min(counts.values()) > 150


def test_no_slot_is_open_and_no_held_out_kind_is_named():
    for example in PAIRS:
        premise, claim = halves(example)
        assert premise and claim.endswith(".") and "{" not in example.source
    kinds = [kind for key in HELD_OUT for kind in grammar()[key]["kinds"]]
    assert not [e for e in PAIRS for kind in kinds if halves(e)[1].endswith(f" is a {kind}.")]


@pytest.mark.parametrize(("label", "is_told"), [("entailment", True), ("contradiction", False)])
def test_a_places_name_follows_only_where_it_is_told(label, is_told):
    """Claims that end with a made-up value, which stands in the text only where the claim is true."""
    claims = [halves(e) for e in PAIRS if e.references[0] == label]
    values = [(premise, claim.rstrip(".").split()[-1]) for premise, claim in claims]
    made_up = [(premise, value) for premise, value in values if value[0].isupper() and " " not in value]
    assert len(made_up) > 20
    share = sum(value in premise for premise, value in made_up) / len(made_up)
    assert share == 1 if is_told else share < 0.3


@pytest.mark.parametrize("kinds", [["pet"], ["pet", "pet"], ["pet", "horse"]])
def test_other_kinds_are_refused(kinds):
    with pytest.raises(ValueError, match="has to have two or more of bridge, parcel, pet"):
        mini_kinds.load(kinds)


def test_the_sets_have_their_sizes_and_classes():
    pairs, texts = mini_nli.load(50, " "), mini_kinds.load([*HELD_OUT])
    assert [len(part) for part in (pairs.train, pairs.validation, pairs.test)] == [50, 500, 500]
    assert [len(part) for part in (texts.train, texts.validation, texts.test)] == [300, 150, 300]
    assert pairs.labels == LABELS and texts.hypothesis.words == texts.labels == HELD_OUT
    assert Counter(e.references[0] for e in texts.test) == dict.fromkeys(HELD_OUT, 100)
