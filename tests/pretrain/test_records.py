import re
from random import Random

import pytest

from peft_cli.pretrain.records import (
    HELD_OUT,
    describe,
    draw_domain,
    draw_record,
    draw_style,
    grammar,
    linearise,
    named_domain,
    pattern,
)
from peft_cli.pretrain.values import draw
from tests.pretrain.corpora import WORDS

DOMAINS = [key for key in grammar() if key != "generic"]


@pytest.mark.parametrize("key", DOMAINS)
def test_a_text_names_its_thing_and_leaves_no_slot_open(key):
    domain = named_domain(key)
    for i in range(60):
        rng = Random(f"{key}/{i}")
        style = draw_style(rng, domain, private_share=0.3)
        record = draw_record(rng, WORDS, domain, style)
        text = describe(rng, WORDS, domain, style, record)
        assert record[0].lower() in text.lower() and "{" not in text and "  " not in text


def test_a_style_says_the_same_field_in_the_same_words():
    domain = named_domain("train")
    for i in range(30):
        rng = Random(i)
        style = draw_style(rng, domain, private_share=0.3)
        record = draw_record(rng, WORDS, domain, style)
        assert describe(rng, WORDS, domain, style, record) == describe(rng, WORDS, domain, style, record)


def test_a_record_is_one_line_of_fields_and_values():
    domain = named_domain("train")
    style = draw_style(Random(0), domain, private_share=0)
    style.separator, style.name_field, style.kind_field = " | ", "name", "kind"
    line = linearise(style, "Velmora", "express", {"from": "Torvik"})
    assert line == "name : Velmora | kind : express | from : Torvik"


def test_held_out_domains_are_never_trained_on():
    kinds = {kind for key in HELD_OUT for kind in grammar()[key]["kinds"]}
    drawn = {tuple(draw_domain(Random(i), WORDS).kinds) for i in range(2000)}
    assert not drawn & {tuple(grammar()[key]["kinds"]) for key in HELD_OUT} and kinds


@pytest.mark.parametrize("key", ["train", "pet"])
def test_a_pattern_with_its_slots_filled_is_the_text_that_the_style_gives(key):
    filled = 0
    for i in range(200):
        rng = Random(f"{key}/{i}")
        domain = named_domain(key)
        domain.kinds = domain.kinds[:1]
        style = draw_style(rng, domain, private_share=0.5)
        name, kind, _ = draw_record(rng, WORDS, domain, style)
        values = {field: draw(domain.fields[field]["value"], rng, WORDS) for field in domain.fields}  # none is left out
        record = (name, kind, values)
        shown = pattern(rng, WORDS, domain, style, [record])
        for field, value in {"name": name, "kind": kind, **values}.items():
            shown = re.sub(rf"\[{field}\]", value, shown)
            shown = re.sub(rf"\[{field} (?:[^\]]* / )?{re.escape(value)}: ([^/\]]*?)(?: / [^\]]*)?\]", r"\1", shown)
        text = describe(rng, WORDS, domain, style, record)
        filled += shown.lower() == text.lower()
    assert filled > 180  # the rest: an article before an adjective, and phrases in which the field's own name stands


def test_no_domain_speaks_of_what_is_tested():
    words = set(re.findall(r"[a-z]+", str(grammar()).lower()))
    tested = ["restaurant", "pub", "garden", "flower", "plant", "soil", "seed"]
    assert not words & {word + ending for word in tested for ending in ("", "s")}
