import sys

import pytest

from peft_cli.metrics import score


def test_it_equals_generation_eval(golden, texts):
    value = score(["ter_pyter"], *texts, "lora_geneval").values["ter_pyter"]
    assert value / 100 == pytest.approx(golden["lora_protocol"]["official"]["TER_pyter"], abs=1e-9)


def test_without_pyter_it_is_absent_with_the_reason(texts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyter", None)
    scores = score(["ter_pyter"], *texts, "lora_geneval")
    assert scores.values == {"ter_pyter": None} and "pyter3" in scores.reasons["ter_pyter"]


def test_a_reference_without_words_is_all_wrong_or_all_right(without_java):
    scores = score(["ter_pyter"], ["a pub", "."], [["."], ["!"]])  # PTB's words are without punctuation
    assert [own["ter_pyter"] for own in scores.examples] == [100.0, 0.0]
