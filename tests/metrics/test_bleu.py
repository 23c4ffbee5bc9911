import pytest
import sacrebleu

from peft_cli.metrics import score

TEXTS = ["The Vaults is a pub .", "cheap food", ""]
REFERENCES = [
    ["The Vaults is a pub.", "A pub is The Vaults."],
    ["Cheap food by the river"],
    ["Something else", "x", "y"],
]


@pytest.mark.parametrize("protocol", ["plain", "e2e"])
def test_bleu_is_sacrebleus_with_absent_references_left_out(protocol):
    streams = [["The Vaults is a pub.", "Cheap food by the river", "Something else"]]
    streams += [["A pub is The Vaults.", None, "x"], [None, None, "y"]]
    scores = score(["bleu"], TEXTS, REFERENCES, protocol)
    assert scores.values["bleu"] == sacrebleu.corpus_bleu(TEXTS, streams, lowercase=True).score
    assert "case:lc" in scores.signatures["bleu"] and "version:" in scores.signatures["bleu"]


@pytest.mark.parametrize(
    ("protocol", "key", "points"),
    [("e2e", "e2e", 100), ("webnlg2017", "webnlg2017", 1), ("dart", "dart", 1), ("lora_geneval", "lora_protocol", 1)],
)
def test_bleu_equals_the_official_scripts(golden, texts, protocol, key, points):
    bleu = score(["bleu"], *texts, protocol).values["bleu"]
    assert bleu == pytest.approx(points * golden[key]["official"]["BLEU"], abs=0.01)


@pytest.mark.parametrize(("protocol", "key"), [("e2e", "e2e"), ("webnlg2017", "webnlg2017")])
def test_bleu_is_none_of_the_values_that_common_mistakes_give(golden, texts, protocol, key):
    bleu = score(["bleu"], *texts, protocol).values["bleu"]
    wrong = [value for name, value in golden[key]["common_wrong_values"].items() if name.startswith("BLEU")]
    assert wrong and all(abs(bleu - value) > 1 for value in wrong)


def test_the_protocols_disagree_on_the_same_outputs(texts):
    names = ("e2e", "webnlg2017", "dart", "lora_geneval", "webnlg2020")
    assert len({round(score(["bleu"], *texts, name).values["bleu"], 1) for name in names}) == len(names)


def test_first_human_reference_against_the_rest(human):
    assert score(["bleu"], *human, "e2e").values["bleu"] == pytest.approx(60.46, abs=0.005)


def test_texts_that_are_split_already_bring_no_advice(caplog):
    texts = ["a pub by it ."] * 200
    assert score(["bleu"], texts, [[text] for text in texts], "dart").values["bleu"] == pytest.approx(100.0)
    assert not caplog.records


def test_every_item_is_padded_to_the_protocols_number_of_references():
    texts, refs = ["a b c d", "e f g"], ["a b c d e", "e f g h"]
    empty = [""] * len(refs)
    expected = sacrebleu.corpus_bleu(texts, [refs, empty, empty], tokenize="none", force=True)
    assert score(["bleu"], texts, [[ref] for ref in refs], "dart").values["bleu"] == expected.score


@pytest.mark.parametrize("name", ["bleu", "nist"])
def test_a_hyphen_before_a_line_break_joins_no_words(name):
    first, second = (
        score([name], [text], [["a well- known pub"]]) for text in ("a well-\nknown pub", "a well- known pub")
    )
    assert first == second
