import re
from random import Random

import pytest

from peft_cli.embedded.records import (
    HELD_OUT,
    describe,
    draw_domain,
    draw_record,
    draw_style,
    grammar,
    linearise,
    named_domain,
)
from peft_cli.embedded.tasks import described, document
from tests.embedded.corpora import BOOKS, WORDS

DOMAINS = [key for key in grammar() if key != "generic"]


def test_a_document_is_a_function_of_its_seed():
    first, again, other = (document(Random(seed), WORDS, BOOKS, 3) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("key", DOMAINS)
def test_a_text_names_its_thing_and_leaves_no_slot_open(key):
    domain = named_domain(key)
    for i in range(60):
        rng = Random(f"{key}/{i}")
        style = draw_style(rng, domain)
        record = draw_record(rng, WORDS, domain, style)
        text = describe(rng, WORDS, domain, style, record)
        assert record[0].lower() in text.lower() and "{" not in text and "  " not in text


def test_a_style_says_the_same_field_in_the_same_words():
    domain = named_domain("train")
    for i in range(30):
        rng = Random(i)
        style = draw_style(rng, domain)
        record = draw_record(rng, WORDS, domain, style)
        assert describe(rng, WORDS, domain, style, record) == describe(rng, WORDS, domain, style, record)


def test_a_record_is_one_line_of_fields_and_values():
    domain = named_domain("train")
    style = draw_style(Random(0), domain)
    style.separator, style.name_field, style.kind_field = " | ", "name", "kind"
    line = linearise(style, "Velmora", "express", {"from": "Torvik"})
    assert line == "name : Velmora | kind : express | from : Torvik"


def test_held_out_domains_are_never_trained_on():
    kinds = {kind for key in HELD_OUT for kind in grammar()[key]["kinds"]}
    drawn = {tuple(draw_domain(Random(i), WORDS).kinds) for i in range(2000)}
    assert not drawn & {tuple(grammar()[key]["kinds"]) for key in HELD_OUT} and kinds


def test_held_out_domains_can_be_asked_for():
    assert all(len(described(Random(0), WORDS, key, pairs=2)) == 2 for key in HELD_OUT)


def test_no_domain_speaks_of_what_is_tested():
    words = set(re.findall(r"[a-z]+", str(grammar()).lower()))
    tested = ["restaurant", "pub", "garden", "flower", "plant", "soil", "seed"]
    assert not words & {word + ending for word in tested for ending in ("", "s")}
