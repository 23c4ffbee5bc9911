from random import Random

import pytest

from peft_cli.pretrain import tasks
from peft_cli.pretrain.records import HELD_OUT, named_domain
from peft_cli.pretrain.tasks import PROSE, RECORD, add_task, describe_records, draw_document, short_pair
from tests.pretrain.corpora import BOOKS, WORDS

DOCUMENTS = [draw_document(Random(i), WORDS, BOOKS, 2) for i in range(600)]


def test_a_document_is_a_function_of_its_seed():
    first, again, other = (draw_document(Random(seed), WORDS, BOOKS, 3) for seed in (1, 1, 2))
    assert first == again != other


def test_all_pairs_have_a_source_and_a_target():
    assert all(source.strip() and target.strip() for pairs in DOCUMENTS for source, target in pairs)


def test_what_is_to_be_done_stands_in_front_of_the_first_source_only():
    assert add_task("copy", [("a", "b"), ("c", "d")]) == [("copy : a", "b"), ("c", "d")]


@pytest.mark.parametrize("key", HELD_OUT)
def test_a_held_out_domain_can_be_asked_for(key):
    assert len(describe_records(Random(0), WORDS, named_domain(key), pairs=2)) == 2


def test_a_private_wording_is_told_or_shown(monkeypatch):
    monkeypatch.setattr(tasks, "PATTERN_SHARE", 0.0)
    seen = []
    monkeypatch.setattr(tasks, "draw_style", lambda rng, domain, private_share: seen.append(private_share) or STYLE)
    for i in range(20):
        describe_records(Random(i), WORDS, named_domain("train"), pairs=2)
    assert set(seen) == {0}


STYLE = tasks.draw_style(Random(0), named_domain("train"), private_share=0)


def test_tasks_on_records_answer_from_the_record():
    record = ("Velmora", "express", {"from": "Torvik", "fare": "12 euros"}, "fare")
    assert RECORD["{field}"](*record) == "12 euros" and RECORD["headline"](*record) == "VELMORA: Torvik"
    assert RECORD["{field}"](*record[:3], "crowding") == "unknown"


def test_tasks_on_prose_answer_from_the_prose():
    source, target = PROSE["backwards"](Random(0), BOOKS[0])
    assert source.split() == target.split()[::-1]
    source, target = PROSE["gap"](Random(0), BOOKS[0])
    whole = source.replace("___", target).split()
    assert "___" in source and whole == BOOKS[0].split()[: len(whole)]


def test_a_short_pair_asks_for_words_of_its_source():
    for i in range(50):
        source, target = short_pair(Random(i), WORDS)
        asked, _, told = source.partition(" : ")
        assert told == target if asked == "copy" else f"{asked} : {target}" in told
