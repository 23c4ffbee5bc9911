import math

import pytest

from peft_cli.metrics import score


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
    full = math.log2(6)  # of each word; the bigrams have no more information
    assert score(["nist"], ["a b", "d e"], refs).values["nist"] == pytest.approx(0.5 * full)


def test_empty_predictions_have_no_information():
    assert score(["nist"], ["", ""], [["a b"], ["c"]]).values["nist"] == 0.0


def test_a_repeated_word_counts_as_often_as_in_one_reference():
    refs = [["a b", "a c"], ["d d"]]  # a is 2 of the 6 words, and once in each reference
    once, twice = (score(["nist"], [text, "x x"], refs).values["nist"] for text in ("a x", "a a"))
    assert once == twice == pytest.approx(math.log2(6 / 2) / 4)


def test_references_without_a_word_give_no_value():
    scores = score(["nist", "nist_pymteval"], ["a"], [["<skipped>"]])  # mteval removes that mark
    assert scores.values == {"nist": None, "nist_pymteval": None}
    assert set(scores.reasons.values()) == {"the references have no words"}


@pytest.mark.parametrize(("protocol", "words"), [("e2e", "case:lc|tok:13a"), ("dart", "case:mixed|tok:none")])
def test_the_signature_has_what_the_number_depends_on(protocol, words):
    signatures = score(["nist", "nist_pymteval"], ["a b c d e"], [["a b c d e"]], protocol).signatures
    for name, length in (("nist", "all"), ("nist_pymteval", "items")):
        assert signatures[name].startswith("peft-cli:")
        assert f"|order:5|{words}|length:{length}|protocol:{protocol}|" in signatures[name]


def test_case_counts_where_the_protocol_keeps_it():
    values = [score(["nist"], ["A b"], [["a b"]], name).values["nist"] for name in ("plain", "webnlg2020")]
    assert values[0] > values[1]
