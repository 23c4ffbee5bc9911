import json
from itertools import combinations
from random import Random

import pytest
import sacrebleu

from peft_cli.pretrain import mini

SPLITS = {
    split: [json.loads(line) for line in (mini.FOLDER / f"{split}.jsonl").read_text(encoding="ascii").splitlines()]
    for split in ("train", "validation", "test")
}
SCORED = ("validation", "test")


def record_of(row):
    return dict(field.split(" : ") for field in row["source"].split(" | "))


def bleu(texts, rows):
    most = max(len(row["references"]) for row in rows)
    streams = [[(row["references"] + [None] * most)[i] for row in rows] for i in range(most)]
    return sacrebleu.corpus_bleu(texts, streams, lowercase=True, tokenize="13a").score


def test_generating_again_gives_the_committed_bytes(tmp_path):
    mini.write_splits(tmp_path)
    for split in SPLITS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (mini.FOLDER / f"{split}.jsonl").read_bytes()


def test_splits_have_their_sizes():
    assert {split: len(rows) for split, rows in SPLITS.items()} == {"train": 800, "validation": 200, "test": 200}


def test_ids_count_up_from_one():
    for split, rows in SPLITS.items():
        assert [row["id"] for row in rows] == [f"{split}-{i:04}" for i in range(1, len(rows) + 1)]


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_two_splits_share_no_source_and_no_name(one, other):
    assert not {row["source"] for row in SPLITS[one]} & {row["source"] for row in SPLITS[other]}
    assert not {record_of(row)["name"] for row in SPLITS[one]} & {record_of(row)["name"] for row in SPLITS[other]}


@pytest.mark.parametrize("split", SPLITS)
def test_a_record_has_three_to_seven_fields_that_begin_with_name_and_kind(split):
    for row in SPLITS[split]:
        fields = list(record_of(row))
        assert 3 <= len(fields) <= 7 and fields[:2] == ["name", "kind"]


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_mentions_the_name_and_the_kind(split):
    for row in SPLITS[split]:
        record = record_of(row)
        assert all(record["name"] in text and record["kind"] in text for text in row["references"])


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_is_whole_sentences_without_an_open_slot(split):
    for text in (text for row in SPLITS[split] for text in row["references"]):
        assert text.isascii() and text[0].isupper() and text.endswith(".")
        assert not set(text) & set("{}|") and "  " not in text


def test_train_rows_are_pairs():
    assert {len(row["references"]) for row in SPLITS["train"]} == {1}


@pytest.mark.parametrize("split", SCORED)
def test_scored_rows_have_two_to_four_distinct_references(split):
    for row in SPLITS[split]:
        assert 2 <= len(row["references"]) <= 4
        assert len(set(row["references"])) == len(row["references"])


def test_another_seed_gives_other_rows():
    assert mini.generate(mini.read_grammar(), mini.SEED + 1)["test"] != SPLITS["test"]


@pytest.mark.parametrize("split", SCORED)
def test_a_fresh_draw_leaves_room_above_and_below(split):
    grammar, rng = mini.read_grammar(), Random(0)
    texts = [mini.Writer(record_of(row), grammar, rng).text() for row in SPLITS[split]]
    assert 65 < bleu(texts, SPLITS[split]) < 85


@pytest.mark.parametrize("split", SCORED)
def test_copying_the_source_earns_nearly_nothing(split):
    assert bleu([row["source"] for row in SPLITS[split]], SPLITS[split]) < 12


def test_pick_follows_the_weights():
    rng = Random(0)
    draws = [mini.pick({"often": 3, "never": 0, "seldom": 1}, rng) for _ in range(4000)]
    assert "never" not in draws
    assert abs(draws.count("often") / 4000 - 0.75) < 0.03


def test_every_kind_can_be_told_with_every_value():
    grammar, rng = mini.read_grammar(), Random(0)
    for kind in (kind for group in grammar["groups"] for kind in group["kinds"]):
        for field, values in grammar["values"].items():
            for value in values:
                record = {"name": "Oroby Charm", "kind": kind, "hardy": "yes", field: value}
                assert "Oroby Charm" in mini.Writer(record, grammar, rng).text()


def test_hardy_is_told_by_the_climate_of_the_origin():
    grammar, record = mini.read_grammar(), {"name": "Oroby Charm", "kind": "mint", "hardy": "no"}
    texts = {
        origin: {
            mini.Writer(record | {"origin": origin}, grammar, Random(seed)).predicate("hardy") for seed in range(20)
        }
        for origin in ("Greece", "Norway")
    }
    assert texts["Greece"] and texts["Norway"] and not texts["Greece"] & texts["Norway"]


def test_but_joins_opposite_tones_only():
    grammar, record = mini.read_grammar(), {"name": "Oroby Charm", "kind": "mint", "water": "little"}
    for hardy, joined in (("no", ", but "), ("yes", " and ")):
        assert joined in mini.Writer(record | {"hardy": hardy}, grammar, Random(0)).join(["water", "hardy"])
