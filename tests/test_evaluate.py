"""Predictions that were made at an earlier time are not made again, and batches stay what they were."""

import json

import pytest

from peft_cli.evaluate import Decoding, predict
from peft_cli.results import PartialPredictions
from tests.conftest import EXAMPLES
from tests.test_train import make

DECODING = Decoding(
    beams=1, length_penalty=1.0, max_new_tokens=6, min_new_tokens=0, no_repeat_ngram=0, batch_size=2
)  # fmt: skip
MANY = [*EXAMPLES, *EXAMPLES]


def predicted(known=None, seconds=0.0):
    backbone, method = make()
    made = []
    found = predict(backbone, method, MANY, DECODING, lambda texts, _: made.append(texts), known or {}, seconds)
    return found, made


def test_what_is_known_is_not_predicted_again():
    whole, batches = predicted()
    assert [len(batch) for batch in batches] == [2, 2, 2]
    again, made = predicted(batches[0] | batches[2], seconds=5.0)
    assert again.texts == whole.texts and made == [batches[1]] and again.seconds > 5.0


def test_a_batch_that_is_known_in_part_is_predicted_as_a_whole():
    whole, batches = predicted()
    first = next(iter(batches[1]))
    again, made = predicted({first: "wrong"})
    assert made == batches and again.texts == whole.texts


def test_predictions_are_kept_over_a_kill(tmp_path):
    path = tmp_path / "predictions.partial.jsonl"
    kept = PartialPredictions(path, "abc")
    kept.add({3: "one\ntwo", 1: "é"}, 0.5)
    kept.add({0: "three"}, 0.25)
    with path.open("a") as file:
        file.write('{"texts": {"2": "hal')
    again = PartialPredictions(path, "abc")
    assert again.texts == {3: "one\ntwo", 1: "é", 0: "three"} and again.seconds == 0.75
    again.add({2: "four"}, 0.25)
    assert len(PartialPredictions(path, "abc").texts) == 4


@pytest.mark.parametrize("content", ["", '{"tensors": "abc"}\n{"texts": {"0": "x"}, "seconds": 1}\n', '{"tens'])
def test_predictions_of_other_tensors_are_worth_nothing(tmp_path, content):
    path = tmp_path / "predictions.partial.jsonl"
    path.write_text(content)
    kept = PartialPredictions(path, "def")
    assert kept.texts == {} and json.loads(path.read_text()) == {"tensors": "def"}
