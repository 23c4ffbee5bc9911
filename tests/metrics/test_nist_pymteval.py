import pytest

from peft_cli.metrics import score


def test_it_equals_e2e_metrics_with_p(golden, texts):
    value = score(["nist_pymteval"], *texts, "e2e").values["nist_pymteval"]
    assert value == pytest.approx(golden["e2e"]["official_python_flag_p"]["NIST"], abs=1e-9)


def test_it_is_nist_where_every_item_has_as_many_references():
    refs = [["a b c d e", "c d e f g a"], ["d e f b a c", "a b d c e f"]]
    values = score(["nist", "nist_pymteval"], ["a b c d e f", "d e f g a"], refs).values
    assert values["nist_pymteval"] == pytest.approx(values["nist"])


def test_where_pymteval_divides_by_zero_there_is_no_value():
    scores = score(["nist_pymteval"], ["a", "b"], [["a"], ["b"]])
    assert scores.values == {"nist_pymteval": None} and "divides by 0" in scores.reasons["nist_pymteval"]
