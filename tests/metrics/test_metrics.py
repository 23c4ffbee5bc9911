import json
from pathlib import Path

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from peft_cli.metrics import score

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "metrics_small.json"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="needs the official scorers' scores")
TEXTS = ["The Vaults is a pub .", "cheap food", ""]
REFERENCES = [
    ["The Vaults is a pub.", "A pub is The Vaults."],
    ["Cheap food by the river"],
    ["Something else", "x", "y"],
]


def test_bleu_is_sacrebleus_with_absent_references_left_out():
    streams = [["The Vaults is a pub.", "Cheap food by the river", "Something else"]]
    streams += [["A pub is The Vaults.", None, "x"], [None, None, "y"]]
    scores, signatures = score(["bleu"], TEXTS, REFERENCES)
    assert scores["bleu"] == sacrebleu.corpus_bleu(TEXTS, streams, lowercase=True).score
    assert "case:lc" in signatures["bleu"] and "version:" in signatures["bleu"]


def test_a_line_break_in_a_prediction_changes_nothing():
    broken = [TEXTS[0].replace(" ", "\r\n", 1), *TEXTS[1:]]
    assert score(["bleu"], broken, REFERENCES) == score(["bleu"], TEXTS, REFERENCES)


def test_rouge_is_the_best_reference_and_the_plain_mean():
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    best = [
        max(scorer.score(ref, text)["rougeL"].fmeasure for ref in refs)
        for text, refs in zip(TEXTS, REFERENCES, strict=False)
    ]
    assert score(["rouge"], TEXTS, REFERENCES)[0]["rougeL"] == pytest.approx(100 * sum(best) / 3)


def test_accuracy_is_the_share_of_exact_matches():
    assert score(["accuracy"], ["a", "b", "c", "a"], [["a"], ["b"], ["a"], ["b"]])[0] == {"accuracy": 50.0}


@needs_golden
def test_bleu_equals_the_e2e_challenges_own_script():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    texts, references = ([item[key] for item in golden["items"]] for key in ("hyp", "refs"))
    bleu = score(["bleu"], texts, references)[0]["bleu"]
    assert bleu == pytest.approx(100 * golden["e2e"]["official"]["BLEU"], abs=0.01)
    assert all(abs(bleu / 100 - wrong) > 0.001 for wrong in wrong_values(golden["e2e"]["common_wrong_values"]))


def wrong_values(table: dict) -> list[float]:
    return [value / 100 for name, value in table.items() if name.startswith("BLEU")]


@needs_golden
def test_rouge_equals_rouge_scores_own_numbers():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["summarisation"]
    texts, references = ([item[key] for item in golden["items"]] for key in ("hyp", "ref"))
    scores, _ = score(["rouge"], texts, [[reference] for reference in references])
    expected = golden["rouge_score_stemmer"]
    assert all(scores[name] == pytest.approx(100 * expected[name], abs=1e-9) for name in ("rouge1", "rouge2", "rougeL"))
