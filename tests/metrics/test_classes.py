"""accuracy, f1, matthews, pearson, spearman and their mean: texts of classes or numbers."""

import pytest

from peft_cli.metrics import score


def test_accuracy_is_the_share_of_exact_matches():
    assert score(["accuracy"], ["a", "b", "c", "a"], [["a"], ["b"], ["a"], ["b"]]).values == {"accuracy": 50.0}


@pytest.mark.parametrize("case", ["binary", "constant"])
def test_two_classes_equal_scikit_learn(golden, classes, case):
    values = score(["accuracy", "f1", "matthews"], *classes[case], "glue", labels=["0", "1"]).values
    expected = [100 * golden["classification"][case][name] for name in ("accuracy", "f1", "mcc")]
    assert list(values.values()) == pytest.approx(expected, abs=1e-9)


def test_three_classes_equal_scikit_learn(golden, classes):
    values = score(["accuracy", "f1", "matthews"], *classes["multi"], "glue", labels=["0", "1", "2"]).values
    expected = [100 * golden["classification"]["multi"][name] for name in ("accuracy", "f1_macro", "mcc")]
    assert list(values.values()) == pytest.approx(expected, abs=1e-9)


def test_f1_is_of_the_second_class(classes):
    first, second = (score(["f1"], *classes["binary"], "glue", labels=labels).values["f1"] for labels in ("10", "01"))
    assert first != second == pytest.approx(100 * 5 / 7)


def test_without_classes_f1_has_no_value(classes):
    scores = score(["f1"], *classes["binary"], "glue")
    assert scores.values["f1"] is None and "--labels" in scores.reasons["f1"]


def test_a_prediction_that_is_no_class_is_wrong():
    values = score(["accuracy", "f1"], ["yes", "perhaps"], [["yes"], ["yes"]], "glue", labels=["no", "yes"]).values
    assert values == {"accuracy": 50.0, "f1": pytest.approx(100 * 2 / 3)}


def test_numbers_equal_scipy(golden, classes):
    names = ["pearson", "spearman", "pearson_spearman"]
    values = score(names, *classes["regression"], "glue").values
    pearson, spearman = (100 * golden["classification"]["regression"][name] for name in names[:2])
    assert list(values.values()) == pytest.approx([pearson, spearman, (pearson + spearman) / 2], abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman", "pearson_spearman"])
@pytest.mark.parametrize(
    ("texts", "reason"),
    [(["1", "1", "1"], "all predictions are equal"), (["1", "high", "nan"], "2 of the predictions are no numbers")],
)
def test_an_undefined_correlation_is_none_with_the_reason(name, texts, reason):
    scores = score([name], texts, [["1"], ["2.5"], ["3"]], "glue")
    assert scores.values == {name: None} and scores.reasons == {name: reason}


def test_all_texts_that_are_no_class_are_one_more_for_matthews():
    truth = [["a"], ["b"], ["a"], ["b"]]
    first, second = (
        score(["matthews"], texts, truth, "glue").values for texts in (["a", "b", "x", "y"], ["a", "b", "z", "z"])
    )
    assert first == second


def test_ten_thousand_generated_texts_that_are_no_class_need_no_large_table():
    texts, truth = [f"text {i}" for i in range(10_000)], [["yes"], ["no"]] * 5000
    assert score(["matthews", "accuracy"], texts, truth, "glue", labels=["no", "yes"]).values["matthews"] == 0.0


@pytest.mark.parametrize("protocol", ["glue", "webnlg2017", "dart", "xsum"])
def test_classes_are_the_same_words_however_they_are_spaced(protocol):
    texts, truth = ["Not  Good", "good"] * 2, [["Not  Good"], ["good"], ["good"], ["good"]]
    scores = score(["accuracy", "f1", "matthews"], texts, truth, protocol, labels=["good", "Not  Good"])
    assert list(scores.values.values()) == pytest.approx([75.0, 100 * 2 / 3, 100 / 3**0.5])


def test_two_classes_that_are_the_same_words_are_refused():
    with pytest.raises(ValueError, match="the classes 'a  b' and 'a b' are the same text in the protocol glue"):
        score(["f1"], ["a b"], [["a b"]], "glue", labels=["a  b", "c", "a b"])


@pytest.mark.parametrize("name", ["pearson", "spearman", "pearson_spearman"])
def test_equal_references_have_no_correlation(name):
    assert score([name], ["1", "2"], [["3"], ["3.0"]], "glue").reasons == {name: "all references are equal"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of the overflow
@pytest.mark.parametrize("name", ["pearson", "pearson_spearman"])
def test_numbers_whose_sum_overflows_have_no_correlation(name):
    scores = score([name], ["1e308", "1.1e308", "1.2e308"], [["1"], ["2"], ["3"]], "glue")
    assert scores.values == {name: None} and scores.reasons == {name: "the numbers are too large"}


@pytest.mark.filterwarnings("error")
def test_one_class_alone_has_no_correlation_and_no_warning():
    assert score(["matthews"], ["a", "a"], [["a"], ["a"]], "glue").values == {"matthews": 0.0}
