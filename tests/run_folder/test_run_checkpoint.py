import json

import pytest
import torch
from safetensors.torch import save_file

from peft_cli.run_folder.run_checkpoint import RunCheckpoint, read_run_checkpoint


def write(folder, tensors, backbone="tiny-gpt2", labels=(), **changes):
    folder.mkdir()
    save_file({name: torch.full((1,), value) for name, value in tensors.items()}, folder / "method.safetensors")
    result = {"run": {"method": "ft"}, "data": {"labels": labels}, "config": {"backbone": {"name": str(backbone)}}}
    (folder / "result.json").write_text(json.dumps(result | changes))
    return folder


def test_the_name_of_a_model_is_no_run(tmp_path):
    assert read_run_checkpoint("tiny-gpt2") == RunCheckpoint("tiny-gpt2", {}, ())
    assert read_run_checkpoint(str(tmp_path)) == RunCheckpoint(str(tmp_path), {}, ())


def test_a_run_of_a_run_has_the_weights_of_both_the_later_ones_first(tmp_path):
    first = write(tmp_path / "a", {"adopted.h/0": 1.0, "adopted.h/1": 1.0}, labels=["x"])
    second = write(tmp_path / "b", {"adopted.h/1": 2.0}, first, labels=["y", "z"])
    found = read_run_checkpoint(str(second))
    assert found.name == "tiny-gpt2" and found.labels == ["y", "z"]
    assert {name: tensor.item() for name, tensor in found.tensors.items()} == {"h.0": 1.0, "h.1": 2.0}


def test_a_run_that_stored_more_than_weights_of_the_backbone_is_refused(tmp_path):
    folder = write(tmp_path / "a", {"adopted.h/0": 1.0, "prompt": 1.0})
    with pytest.raises(
        ValueError, match="is a run of method=ft, which stores prompt beside the backbone's own weights"
    ):
        read_run_checkpoint(str(folder))


def test_runs_that_come_from_each_other_are_refused(tmp_path):
    write(tmp_path / "a", {"adopted.h/0": 1.0}, tmp_path / "b")
    write(tmp_path / "b", {"adopted.h/0": 1.0}, tmp_path / "a")
    with pytest.raises(ValueError, match="is a run whose backbone is that run itself; take another backbone"):
        read_run_checkpoint(str(tmp_path / "a"))


@pytest.mark.parametrize("change", [{"run": None}, {"data": {}}, {"config": {"backbone": []}}], ids=str)
def test_a_result_that_is_no_runs_is_one_sentence(tmp_path, change):
    with pytest.raises(ValueError, match=r"result\.json is no result of a run"):
        read_run_checkpoint(str(write(tmp_path / "a", {"adopted.h/0": 1.0}, **change)))
