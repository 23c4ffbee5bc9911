import json
import math
import os
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from peft_cli.data import Example
from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.result import OUTPUT, OUTPUT_BYTES, RunFolder, finite, folder_of, without

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


@pytest.mark.parametrize(("runs", "shown"), [(None, "null"), ("", "null"), (["a"], r"\['a'\]")])
def test_runs_that_is_no_path_is_one_sentence(runs, shown):
    with pytest.raises(ValueError, match=f"runs={shown} is not possible: it has to be the path of a folder"):
        folder_of(CONFIG | {"runs": runs}, CHOICES)


@given(st.lists(st.text(), min_size=3, max_size=3), st.text() | st.integers() | st.none())
@example(["..", "..", ".."], 5)
@example(["/etc", "a", "b"], 5)
@example(["a", "b", "c"], "/../../../../../x")
def test_no_name_leads_out_of_the_folder_of_all_runs(names, shots):
    choices = dict(zip(("data", "backbone", "method"), names, strict=True))
    try:
        path = folder_of(CONFIG | {"shots": shots, "runs": "/runs"}, choices).path
    except ValueError as error:
        assert "leads out of runs=/runs" in str(error)
        return
    assert os.path.normpath(path).startswith("/runs/")


def test_keys_of_what_is_no_section_are_passed_over():
    config = {"a": {"b": 1, "c": 2}, "d": None, "e": 3}
    assert without(config, ["a.b", "d.x", "e.y.z", "no.key", "f"]) == {"a": {"c": 2}, "d": None, "e": 3}
    assert config["a"] == {"b": 1, "c": 2}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "data" / "run")


def test_a_run_begins_with_its_configuration_and_an_empty_log(folder):
    folder.open(CONFIG, goes_on=False)
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == CONFIG
    assert list(yaml.safe_load((folder.path / "config.yaml").read_text())) == list(CONFIG)
    assert (folder.path / "log.jsonl").read_text() == ""
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "log.jsonl"}


def test_a_run_that_goes_on_keeps_its_log_and_one_from_nothing_does_not(folder):
    folder.open(CONFIG, goes_on=False)
    folder.log({"step": 1})
    folder.open(CONFIG | {"seed": 1}, goes_on=True)
    assert (folder.path / "log.jsonl").read_text() and "seed: 1" in (folder.path / "config.yaml").read_text()
    folder.open(CONFIG, goes_on=False)
    assert (folder.path / "log.jsonl").read_text() == ""


def test_a_folder_is_finished_when_its_result_is_there(folder):
    folder.open(CONFIG, goes_on=False)
    assert not folder.is_finished
    with pytest.raises(FileNotFoundError):
        folder.result()
    folder.finish({"scores": {"bleu": math.nan}, "run": "é"})
    assert folder.is_finished and folder.result() == {"scores": {"bleu": None}, "run": "é"}
    assert '"é"' in (folder.path / "result.json").read_text(encoding="utf-8")


def test_a_finished_run_keeps_only_what_a_reader_needs(folder):
    folder.open(CONFIG, goes_on=False)
    keep = {"config.yaml", "log.jsonl", "method.safetensors", "predictions.jsonl", "output.log"}
    drop = {"error.json", "checkpoint.pt", "predictions.partial.jsonl", "slurm.json", ".checkpoint.pt.partial"}
    for name in keep | drop:
        (folder.path / name).write_text("x")
    folder.finish({})
    assert {path.name for path in folder.path.iterdir()} == keep | {"result.json"}


def test_what_only_a_run_needs_is_there_until_the_result_is(folder, monkeypatch):
    folder.open(CONFIG, goes_on=False)
    (folder.path / "checkpoint.pt").touch()
    monkeypatch.setattr(folder, "remove_leftovers", lambda: pytest.fail() if not folder.is_finished else None)
    folder.finish({})
    assert (folder.path / "checkpoint.pt").exists()


def test_a_result_that_cannot_be_written_leaves_none_behind(folder):
    folder.open(CONFIG, goes_on=False)
    (folder.path / "checkpoint.pt").touch()
    with pytest.raises(TypeError):
        folder.finish({"scores": {1, 2}})
    assert not folder.is_finished and (folder.path / "checkpoint.pt").exists()


def test_a_finished_run_in_a_folder_that_cannot_be_changed_stays_finished(folder, monkeypatch):
    folder.open(CONFIG, goes_on=False)
    folder.finish({"scores": {}})
    (folder.path / "checkpoint.pt").touch()

    def read_only(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", read_only)
    folder.remove_leftovers()
    assert folder.is_finished


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_broken_result_is_none_and_its_file_is_named(folder, capsys, content):
    folder.open(CONFIG, goes_on=False)
    (folder.path / "result.json").write_text(content)
    assert not folder.is_finished
    assert f"{folder.path}/result.json cannot be read" in (err := capsys.readouterr().err)
    assert "it counts as absent, and the run is done again" in err and err.count("\n") == 1


def test_a_file_in_the_place_of_the_folder_is_no_result(folder):
    folder.path.parent.parent.mkdir(exist_ok=True)
    folder.path.parent.write_text("mine")
    assert not folder.is_finished and folder.failure() is None


def test_an_error_is_kept_until_the_run_starts_again(folder):
    try:
        raise RuntimeError("no memory")
    except RuntimeError as error:
        folder.fail(error, ["seed=1", "data.text=a b"])
    kept = json.loads((folder.path / "error.json").read_text())
    assert kept["error"] == "RuntimeError: no memory" and kept["command"] == "peft-run seed=1 'data.text=a b'"
    assert kept["traceback"].startswith("Traceback") and kept["log"] is None and kept["is_wrong_request"] is False
    assert folder.failure() == Failure("RuntimeError: no memory", False, None)
    folder.open(CONFIG, goes_on=False)
    assert folder.failure() is None and not (folder.path / "error.json").exists()


def test_an_error_names_the_file_of_what_was_printed(folder):
    folder.open(CONFIG, goes_on=False)
    (folder.path / OUTPUT).write_text("x")
    folder.write_error(Failure("it broke", True), "", "peft-run")
    assert folder.failure() == Failure("it broke", True, str(folder.path / OUTPUT))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("error", "log", "is_wrong_request"), JSON)) | JSON)
def test_any_error_file_is_a_failure_or_none(content):
    with TemporaryDirectory() as path:
        (Path(path) / "error.json").write_text(json.dumps(content))
        failure = RunFolder(Path(path)).failure()
    has_reason = isinstance(content, dict) and isinstance(content.get("error"), str)
    assert (failure is not None) == has_reason
    if failure:
        assert len(failure.reason.splitlines()) <= 1 and isinstance(failure.is_wrong_request, bool)
        assert failure.log is None or isinstance(failure.log, str)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"error": 3}'])
def test_a_broken_error_is_none_and_its_file_is_named(folder, capsys, content):
    folder.open(CONFIG, goes_on=False)
    (folder.path / "error.json").write_text(content)
    assert folder.failure() is None
    assert f"{folder.path}/error.json" in (err := capsys.readouterr().err) and "the run is done again" in err


def test_the_end_of_what_was_printed_is_short(folder):
    assert folder.output_end() == ""
    folder.open(CONFIG, goes_on=False)
    (folder.path / OUTPUT).write_bytes(b"a" * OUTPUT_BYTES + b"\xffend")
    assert folder.output_end().endswith("a\N{REPLACEMENT CHARACTER}end") and len(folder.output_end()) == OUTPUT_BYTES


@pytest.mark.parametrize(
    "name", ["config.yaml", "log.jsonl", "predictions.jsonl", "method.safetensors", "result.json", "error.json"]
)
@pytest.mark.parametrize("is_partial", [False, True])
def test_nothing_is_written_through_a_link(folder, tmp_path, name, is_partial):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    folder.path.mkdir(parents=True)
    (folder.path / (f".{name}.partial" if is_partial else name)).symlink_to(mine)
    folder.write_error(Failure("it broke", False), "", "peft-run")
    folder.open(CONFIG, goes_on=True)
    folder.log({"step": 1})
    folder.open(CONFIG, goes_on=False)
    folder.write_predictions([Example("0", "a", ("x",))], ["y"])
    folder.write_tensors({"a": torch.zeros(1)})
    folder.partial_predictions({}).add({0: "y"}, 1.0)
    folder.finish({"scores": {}})
    assert mine.read_text() == "mine" and folder.is_finished
    assert not any(path.is_symlink() for path in folder.path.iterdir())


def test_predictions_of_other_tensors_backbones_or_data_are_not_taken_over(folder):
    folder.open(CONFIG, goes_on=False)
    assert folder.write_tensors({"a": torch.zeros(1)}) == (folder.path / "method.safetensors").stat().st_size
    folder.partial_predictions({"test": "t", "backbone": "b"}).add({0: "y"}, 1.0)
    assert folder.partial_predictions({"backbone": "b", "test": "t"}).texts == {0: "y"}
    assert folder.partial_predictions({"backbone": "b", "test": "u"}).texts == {}
    folder.partial_predictions({"test": "t", "backbone": "b"}).add({0: "y"}, 1.0)
    folder.write_tensors({"a": torch.ones(1)})
    assert folder.partial_predictions({"backbone": "b", "test": "t"}).texts == {}


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
    assert json.loads(line) == row and "é" in line  # what a person reads is not escaped


def test_an_examples_own_scores_stand_beside_it(tmp_path):
    scores = [{"rougeL": 50.0, "meteor": None}]
    RunFolder(tmp_path).write_predictions([Example("test-0", "a", ("x",))], ["y"], scores)
    assert json.loads((tmp_path / "predictions.jsonl").read_text())["scores"] == scores[0]


def test_finite_reaches_into_lists_and_tables():
    assert finite({"a": [1, math.nan, {"b": -math.inf}], "c": "nan"}) == {"a": [1, None, {"b": None}], "c": "nan"}
