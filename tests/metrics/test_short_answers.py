"""exact_match and token_f1, against the rules of SQuAD's script."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_cli.metrics import score


def normalize_answer(text: str) -> str:
    """As in evaluate-v1.1.py and evaluate-v2.0.py of SQuAD, rewritten: lower case, punctuation, articles, spaces."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1(predicted: str, wanted: str) -> float:
    """compute_f1 of evaluate-v2.0.py, by precision and recall."""
    one, two = normalize_answer(predicted).split(), normalize_answer(wanted).split()
    shared = sum((Counter(one) & Counter(two)).values())
    if not one or not two:
        return float(one == two)
    if not shared:
        return 0.0
    precision, recall = shared / len(one), shared / len(two)
    return 2 * precision * recall / (precision + recall)


CASES = [
    ("The Eiffel Tower!", ["eiffel tower"], 100, 100),
    ("in Paris", ["Paris", "Lyon"], 0, 100 * 2 / 3),
    ("a cat and a cat", ["cat"], 0, 50),
    ("Ann", ["Bob"], 0, 0),
    ("the", ["an"], 100, 100),
    ("", ["Ann"], 0, 0),
]


@pytest.mark.parametrize(("prediction", "references", "exact", "shared"), CASES)
def test_answers_are_compared_as_in_squad(prediction, references, exact, shared):
    scores = score(["exact_match", "token_f1"], [prediction], [references])
    assert scores.values == {"exact_match": exact, "token_f1": pytest.approx(shared)}
    assert scores.examples == [scores.values]


def test_the_score_is_the_mean_over_items():
    scores = score(["exact_match", "token_f1"], ["Ann", "Bob Lee"], [["Ann"], ["Bob"]])
    assert scores.values == {"exact_match": 50.0, "token_f1": pytest.approx(100 * (1 + 2 / 3) / 2)}


WORDS = st.lists(st.sampled_from(["a", "the", "Cat", "cat", "cat's", "-", "dog.", "a-b"]), min_size=1, max_size=6)


@given(predicted=WORDS.map(" ".join), wanted=WORDS.map(" ".join))
def test_both_equal_the_rules_of_the_script(predicted, wanted):
    values = score(["exact_match", "token_f1"], [predicted], [[wanted]]).values
    assert values["exact_match"] == 100 * (normalize_answer(predicted) == normalize_answer(wanted))
    assert values["token_f1"] == pytest.approx(100 * f1(predicted, wanted))
