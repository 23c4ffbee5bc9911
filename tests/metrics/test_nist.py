import math

import pytest

from peft_cli.metrics import score
from peft_cli.metrics.nist import grams


def test_nist_equals_mteval(golden, texts):
    nist = score(["nist"], *texts, "e2e").values["nist"]
    assert nist == pytest.approx(golden["e2e"]["library"]["nist_own_mteval"], abs=1e-9)
    assert nist == pytest.approx(golden["e2e"]["official"]["NIST"], abs=1e-4)


def test_words_that_are_all_there_have_the_information_of_the_references():
    refs = [["a b"], ["a c"]]  # log2(4/2) for a, log2(4/1) for b and c; a b and a c: log2(2/1)
    value = score(["nist"], ["a b", "a c"], refs).values["nist"]
    assert value == pytest.approx((1 + 2 + 1 + 2) / 4 + 1)


def test_two_thirds_of_the_length_costs_half():
    refs = [["a b c"], ["d e f"]]
    full = (2 * math.log2(6)) / 2 + 0  # words of a prediction of one word each have no bigrams
    assert score(["nist"], ["a b", "d e"], refs).values["nist"] == pytest.approx(0.5 * (full + 0))


def test_empty_predictions_have_no_information():
    assert score(["nist"], ["", ""], [["a b"], ["c"]]).values["nist"] == 0.0


def test_grams_are_of_one_to_five_words():
    assert sorted(map(len, grams(["a", "b", "c", "d", "e", "f"]))) == [1] * 6 + [2] * 5 + [3] * 4 + [4] * 3 + [5] * 2
