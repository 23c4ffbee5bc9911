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
