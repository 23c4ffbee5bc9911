import pytest

from peft_cli.metrics import score
from peft_cli.metrics.cider import cider
from peft_cli.metrics.protocols import Protocol

WORDS = Protocol("words", metrics=(), words="spaces")


def test_given_words_equal_coco_caption(golden):
    tokens = golden["e2e"]["ptb_tokens"]
    found = cider(tokens["hyps"], tokens["refs"], WORDS)
    assert found.values["cider"] == pytest.approx(golden["e2e"]["official"]["CIDEr"], abs=1e-9)
    assert found.examples["cider"] == pytest.approx(golden["e2e"]["segment"]["CIDEr"], abs=1e-9)


def test_words_without_java_come_within_five_thousandths(golden, texts, without_java):
    scores = score(["cider"], *texts, "e2e")
    assert scores.values["cider"] == pytest.approx(golden["e2e"]["official"]["CIDEr"], abs=5e-3)
    assert "words:py" in scores.signatures["cider"]


def test_one_item_alone_has_zero():
    assert cider(["a b c d"], [["a b c d"]], WORDS).values["cider"] == 0.0


def test_the_references_themselves_have_ten():
    refs = ["a b c d e", "f g h i j k"]
    assert cider(refs, [[ref] for ref in refs], WORDS).values["cider"] == pytest.approx(10.0)


def test_a_word_said_twice_counts_as_often_as_in_the_reference():
    refs = [["a b c d e"], ["f g h i"]]
    once, twice = (
        cider([text, "x"], refs, WORDS).examples["cider"][0] for text in ("a b c d e", "a b c d e a b c d e")
    )
    assert twice < once
