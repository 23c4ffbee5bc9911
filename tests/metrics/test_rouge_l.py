import random

import pytest

from peft_cli.metrics import score
from peft_cli.metrics.rouge_l import f_measure, longest_common


def common(a, b) -> int:
    """The textbook's table."""
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            rows[i + 1][j + 1] = rows[i][j] + 1 if x == y else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


def test_longest_common_is_the_textbooks():
    rng = random.Random(0)
    for _ in range(300):
        a, b = ([rng.choice("abcd") for _ in range(rng.randrange(12))] for _ in range(2))
        assert longest_common(a, b) == common(a, b)


def test_given_words_equal_coco_caption(golden):
    tokens = golden["e2e"]["ptb_tokens"]
    found = [
        f_measure(hyp.split(), [ref.split() for ref in refs])
        for hyp, refs in zip(tokens["hyps"], tokens["refs"], strict=True)
    ]
    assert found == pytest.approx(golden["e2e"]["segment"]["ROUGE_L"], abs=1e-9)


def test_words_without_java_come_within_a_thousandth(golden, texts, without_java):
    scores = score(["rouge_l"], *texts, "e2e")
    assert scores.values["rouge_l"] / 100 == pytest.approx(golden["e2e"]["official"]["ROUGE_L"], abs=1e-3)
    assert "words:py" in scores.signatures["rouge_l"]


def test_precision_and_recall_may_be_of_two_references():
    assert f_measure(["a", "b"], [["a", "b", "c", "d"], ["a"]]) == pytest.approx(1.0)


def test_an_empty_prediction_has_zero():
    assert f_measure([], [["a"]]) == 0.0
