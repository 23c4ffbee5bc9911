import json
import math
from copy import deepcopy

import pytest

from peft_cli.data import Example
from peft_cli.run_folder.result import PartialPredictions, RunFolder, finite, folder_of, read_results

CONFIG = {
    "method": {"_target_": "peft_cli.method.pt.PT", "lr": 0.1},
    "backbone": {"name": "tiny-gpt2", "device": "auto"},
    "data": {"root": "data/e2e"},
    "train": {"steps": 10},
    "wandb": {"mode": "disabled"},
    "shots": 50,
    "seed": 0,
    "data_seed": 0,
    "runs": "runs",
}
CHOICES = {"method": "pt", "backbone": "tiny-gpt2", "data": "e2e"}


def changed(key: str, value) -> dict:
    config = deepcopy(CONFIG)
    *parents, last = key.split(".")
    inner = config
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return config


def test_the_folder_tells_what_was_run():
    path = folder_of(CONFIG, CHOICES).path
    assert path.parts[:-1] == ("runs", "e2e", "tiny-gpt2", "pt") and path.name.startswith("shots=50,seed=0-")


@pytest.mark.parametrize(
    ("key", "value"), [("data.root", "elsewhere"), ("wandb.mode", "offline"), ("backbone.device", "cuda:1")]
)
def test_what_cannot_change_a_result_does_not_change_the_folder(key, value):
    assert folder_of(changed(key, value), CHOICES).path == folder_of(CONFIG, CHOICES).path


@pytest.mark.parametrize(("key", "value"), [("method.lr", 0.2), ("seed", 1), ("data_seed", 1), ("train.steps", 11)])
def test_what_can_change_a_result_changes_the_folder(key, value):
    assert folder_of(changed(key, value), CHOICES).path != folder_of(CONFIG, CHOICES).path


def test_the_order_of_keys_does_not_matter():
    assert folder_of(dict(reversed(CONFIG.items())), CHOICES).path == folder_of(CONFIG, CHOICES).path


def test_without_shots_all_methods_and_seeds_are_one_run():
    first, second = changed("shots", 0), changed("shots", 0)
    second |= {"seed": 7, "method": {"lr": 3}}
    assert folder_of(first, CHOICES).path == folder_of(second, CHOICES | {"method": "ft"}).path
    assert "untouched" in folder_of(first, CHOICES).path.parts


def test_a_folder_is_finished_when_its_result_is_there(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.open(CONFIG, goes_on=False)
    assert not folder.is_finished
    folder.finish({"scores": {"bleu": math.nan}})
    assert folder.is_finished and [path for path, _ in read_results(tmp_path)] == [tmp_path / "run"]
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"scores": {"bleu": None}}


def test_a_result_that_cannot_be_written_leaves_none_behind(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(TypeError):
        folder.finish({"scores": {1, 2}})
    assert not folder.is_finished and not list(read_results(tmp_path))


def test_an_error_is_kept_until_the_run_starts_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    try:
        raise RuntimeError("no memory")
    except RuntimeError as error:
        folder.fail(error, "RuntimeError: no memory", False, "peft-run seed=1")
    kept = json.loads((tmp_path / "run" / "error.json").read_text())
    assert kept["error"] == "RuntimeError: no memory" and kept["command"] == "peft-run seed=1"
    assert "Traceback" in kept["traceback"]
    folder.open(CONFIG, goes_on=False)
    assert not (tmp_path / "run" / "error.json").exists()


def test_a_log_is_a_line_for_each_row(tmp_path):
    folder = RunFolder(tmp_path)
    folder.open(CONFIG, goes_on=False)
    folder.log({"step": 1, "loss": math.inf})
    folder.log({"step": 2, "loss": 0.5})
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1, "loss": None}, {"step": 2, "loss": 0.5}]


def test_predictions_stand_beside_source_and_references(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_predictions([Example("test-0", "a\nb", ("x", "é"))], ["y\u2028z"])
    (line,) = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    row = {"id": "test-0", "source": "a\nb", "prediction": "y\u2028z", "references": ["x", "é"]}
    assert json.loads(line) == row


def test_an_examples_own_scores_stand_beside_it(tmp_path):
    scores = [{"rougeL": 50.0, "meteor": None}]
    RunFolder(tmp_path).write_predictions([Example("test-0", "a", ("x",))], ["y"], scores)
    assert json.loads((tmp_path / "predictions.jsonl").read_text())["scores"] == scores[0]


def test_finite_reaches_into_lists_and_tables():
    assert finite({"a": [1, math.nan, {"b": -math.inf}], "c": "nan"}) == {"a": [1, None, {"b": None}], "c": "nan"}


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
