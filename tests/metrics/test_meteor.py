"""METEOR by its own program: each call starts it, which takes seconds, so each test asks for much at once."""

import pytest

from peft_cli.metrics import make_items, score
from peft_cli.metrics.protocols import load_protocol
from peft_cli.metrics.words import jars, split_words

needs_java = pytest.mark.skipif(jars.missing_packages() is not None, reason="needs the extra nlg-java")


@needs_java
def test_meteor_equals_the_e2e_challenges(golden, texts):
    scores = score(["meteor", "rouge_l", "cider"], *texts, "e2e")
    official = golden["e2e"]["official"]
    assert scores.values["meteor"] / 100 == pytest.approx(official["METEOR"], abs=1e-9)
    assert scores.values["rouge_l"] / 100 == pytest.approx(official["ROUGE_L"], abs=1e-9)
    assert scores.values["cider"] == pytest.approx(official["CIDEr"], abs=1e-9)
    items = [100 * value for value in golden["e2e"]["segment"]["METEOR"]]
    assert [own["meteor"] for own in scores.examples] == pytest.approx(items, abs=1e-9)
    assert "words:ptb" in scores.signatures["meteor"]


@needs_java
def test_meteor_equals_webnlgs_own_script(golden, texts):
    meteor = score(["meteor"], *texts, "webnlg2017").values["meteor"]
    assert meteor / 100 == pytest.approx(golden["webnlg2017"]["official"]["METEOR"], abs=1e-9)


def test_dart_and_lora_give_meteor_the_same_predictions(texts):
    rules = [load_protocol(name) for name in ("dart", "lora_geneval")]
    items = [make_items(*texts, rule) for rule in rules]
    first, second = (
        split_words(one.predictions, one.references, rule)[0] for one, rule in zip(items, rules, strict=True)
    )
    assert first == second and len(first) == len(texts[0])


def test_without_java_it_is_absent_with_the_reason(texts, without_java):
    scores = score(["meteor", "bleu"], *texts, "e2e")
    assert scores.values["meteor"] is None and scores.values["bleu"] > 0
    assert "nlg-java" in scores.reasons["meteor"] and "METEOR 1.5" in scores.signatures["meteor"]
    assert all(own["meteor"] is None if "meteor" in own else True for own in scores.examples)
