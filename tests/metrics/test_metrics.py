"""What holds for every metric. METEOR's program, which starts in seconds, has its own tests."""

import math
import subprocess
import sys

import pytest

from peft_cli.metrics import NO_REFERENCE, check_request, find_metric, metric_names, score

TEXTS = ["The Vaults is a pub .", "cheap food", "", "Œuvre, naïve 東京 ¡olé!"]
REFERENCES = [["The Vaults is a pub.", "A pub."], ["Cheap food by the river"], ["x", "y", "z"], ["Œuvre naïve 東京"]]


def is_quick(name: str) -> bool:
    try:
        return bool(find_metric(name)) and name != "meteor"
    except ValueError:  # it asks for a model
        return False


QUICK = [name for name in metric_names() if is_quick(name)]


@pytest.mark.parametrize("name", QUICK)
def test_line_breaks_in_predictions_change_nothing(name):
    broken = [TEXTS[0].replace(" ", "\r\n", 1), TEXTS[1].replace(" ", "\u2028"), *TEXTS[2:]]
    assert score([name], broken, REFERENCES) == score([name], TEXTS, REFERENCES)


@pytest.mark.parametrize("name", QUICK)
def test_scores_of_examples_are_one_for_each_and_their_mean_is_the_score(name):
    scores = score([name], TEXTS, REFERENCES)
    assert len(scores.examples) == len(TEXTS)
    for key in scores.examples[0]:
        assert scores.values[key] == pytest.approx(sum(own[key] for own in scores.examples) / len(TEXTS))


@pytest.mark.parametrize("name", QUICK)
def test_an_item_without_a_reference_is_not_scored_and_told(name):
    more = score([name], [TEXTS[0], "anything", *TEXTS[1:]], [REFERENCES[0], [""], *REFERENCES[1:]])
    plain = score([name], TEXTS, REFERENCES)
    assert more.values == plain.values and "unreferenced:1" in more.signatures[name]
    assert set(more.examples[1].values()) <= {None} and more.examples[2:] == plain.examples[1:]


@pytest.mark.parametrize("name", QUICK)
def test_without_any_reference_there_is_no_value(name):
    scores = score([name], ["a", "b"], [[], [" "]])
    assert scores.values == {name: None} and scores.reasons == {name: NO_REFERENCE}


def test_items_are_counted_by_their_references():
    texts, references = [f"item {i}" for i in range(10)], [["a", "b", "c"][: 1 + i % 3] for i in range(10)]
    assert score(["bleu"], texts, references, "dart").items["references"] == [[1, 4], [2, 3], [3, 3]]


def test_a_signature_says_protocol_items_and_references():
    scores = score(["bleu"], TEXTS, REFERENCES, "dart")
    assert scores.signatures["bleu"].endswith("pad:empty|protocol:dart|items:4|refs:1-3")
    assert scores.items == {"protocol": "dart", "items": 4, "unreferenced": 0, "references": [[1, 2], [2, 1], [3, 1]]}


def test_predictions_for_one_input_share_a_score():
    scores = score(["rouge_l"], ["a b", "c", "a d"], [["a b"], ["c"], ["a d"]], "lora_geneval", ["s", "t", "s"])
    assert scores.examples[0] == scores.examples[2] == {"rouge_l": 100.0} and scores.items["items"] == 2


def test_a_part_has_the_scores_that_it_has_alone():
    parts = {"seen": [0, 2], "unseen": [1, 3]}
    scores = score(["bleu", "rouge_l"], TEXTS, REFERENCES, "webnlg2017", parts=parts)
    alone = score(["bleu", "rouge_l"], [TEXTS[1], TEXTS[3]], [REFERENCES[1], REFERENCES[3]], "webnlg2017")
    assert {key: scores.values[f"{key}_unseen"] for key in alone.values} == alone.values
    assert scores.items["parts"]["unseen"] == alone.items
    assert set(scores.values) == {key + end for key in ("bleu", "rouge_l") for end in ("", "_seen", "_unseen")}


def test_a_part_has_a_reason_of_its_own_only_where_it_differs():
    parts = {"same": [0, 1], "nothing": []}
    scores = score(["pearson"], ["1", "x"], [["1"], ["2"]], "glue", parts=parts)
    reason = "1 of the predictions are no numbers"
    assert scores.reasons == {"pearson": reason, "pearson_nothing": NO_REFERENCE}
    assert scores.values == {"pearson": None, "pearson_same": None, "pearson_nothing": None}


def test_parts_are_grouped_by_their_own_inputs():
    texts, references, sources = ["a b", "c", "d"], [["a b"], ["c"], ["x"]], ["s", "t", "s"]
    scores = score(["rouge_l"], texts, references, "lora_geneval", sources, parts={"first": [0, 1]})
    assert scores.values == {"rouge_l": 50.0, "rouge_l_first": 100.0}  # "d" replaces "a b" where both are there
    assert scores.items["parts"]["first"]["items"] == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["blue"], "there is no metric blue; there are accuracy, bertscore, bleu"),
        (["bleu=4"], "bleu takes no argument"),
        (["bleurt=", "bleu"], "bleurt= is not possible: write bleurt=<folder>"),
        (["bleurt=a", "bleurt=b"], "bleurt=a and bleurt=b would have one column; score with one of them at a time"),
        (["bertscore"], "bertscore is not possible: write bertscore=<folder>"),
    ],
)
def test_a_metric_that_there_is_not_is_one_sentence(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        score(names, TEXTS, REFERENCES)


def test_a_metric_that_is_named_twice_is_computed_once():
    assert score(["bleu", "bleu"], TEXTS, REFERENCES).values == score(["bleu"], TEXTS, REFERENCES).values


@pytest.mark.parametrize(
    ("protocol", "names", "sentence"),
    [("e3e", [], "protocol=e3e"), (None, ["blue"], "no metric blue"), (None, ["bleurt=a", "bleurt=b"], "one column")],
)
def test_a_request_is_checked_before_anything_is_scored(protocol, names, sentence):
    check_request("plain", ["bleu", "ter"])
    with pytest.raises(ValueError, match=sentence):
        check_request(protocol, names)


def test_the_first_metric_selects():
    scores = score(["rougeL", "bleu"], TEXTS, REFERENCES)
    assert scores.selection_value == scores.values["rougeL"]


@pytest.mark.parametrize("name", ["ter", "ter_pyter"])
def test_of_errors_the_lower_one_selects(name):
    scores = score([name], TEXTS, REFERENCES)
    assert scores.selection_value == -scores.values[name] < 0


def test_an_undefined_score_selects_nothing():
    assert score(["pearson"], TEXTS, REFERENCES, "glue").selection_value == -math.inf


def test_unequal_numbers_of_texts_and_references_are_refused():
    with pytest.raises(ValueError, match="4 predictions cannot be scored against 3"):
        score(["bleu"], TEXTS, REFERENCES[:3])


def test_metrics_import_neither_torch_nor_transformers():
    code = (
        f"import sys; from peft_cli.metrics import score; score({QUICK}, {TEXTS}, {REFERENCES}, labels=['a', 'b']);"
        "print(*{'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_the_human_scores_of_e2e_are_the_known_ones(human):
    values = score(["bleu", "nist", "rouge_l", "cider"], *human, "e2e").values
    assert list(values.values()) == pytest.approx([60.46, 8.903, 63.81, 1.857], abs=0.005)
