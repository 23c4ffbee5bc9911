import pytest
import sacrebleu

from peft_cli.metrics import score


def test_chrf_is_sacrebleus_chrf_plus_plus():
    texts, streams = ["a pub by the river", "Cheap"], [["the river pub", "cheap food"], ["a pub by it", None]]
    references = [["the river pub", "a pub by it"], ["cheap food"]]
    expected = sacrebleu.corpus_chrf(texts, streams, word_order=2).score
    assert score(["chrf"], texts, references).values["chrf"] == pytest.approx(expected)
