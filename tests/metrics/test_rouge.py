from statistics import fmean

import pytest
from rouge_score.rouge_scorer import RougeScorer

from peft_cli.metrics import score

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def test_the_best_reference_and_the_plain_mean():
    texts, references = ["a pub by the river", "cheap", ""], [["the river pub", "a pub by it"], ["cheap food"], ["x"]]
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    best = [
        max(scorer.score(ref, text)["rougeL"].fmeasure for ref in refs)
        for text, refs in zip(texts, references, strict=True)
    ]
    scores = score(["rouge"], texts, references)
    assert scores.values["rougeL"] == pytest.approx(100 * fmean(best))
    assert [own["rougeL"] for own in scores.examples] == pytest.approx([100 * value for value in best])


@pytest.mark.parametrize("name", NAMES)
def test_each_equals_rouge_score(golden, summaries, name):
    scores = score([name], *summaries, "xsum")
    expected = golden["summarisation"]
    assert scores.values[name] == pytest.approx(100 * expected["rouge_score_stemmer"][name], abs=1e-9)
    items = [100 * item[name] for item in expected["per_item_stemmer"]]
    assert [own[name] for own in scores.examples] == pytest.approx(items, abs=1e-9)


def test_lines_as_sentences_are_within_a_tenth_of_perls_rouge(golden, summaries):
    official = golden["summarisation"]["official_rouge155_F"]
    values = score(["rouge1", "rouge2", "rougeLsum"], *summaries, "xsum").values
    pairs = zip(values.values(), official.values(), strict=True)
    assert all(value == pytest.approx(100 * perl, abs=0.15) for value, perl in pairs)


def test_without_lines_lsum_is_rouge_l(summaries):
    values = score(["rougeL", "rougeLsum"], *summaries, "plain").values
    assert values["rougeL"] == values["rougeLsum"] < score(["rougeLsum"], *summaries, "xsum").values["rougeLsum"]


def test_rouge_is_its_three_parts(summaries):
    assert score(["rouge"], *summaries).values == score(["rouge1", "rouge2", "rougeL"], *summaries).values
