import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from peft_cli.method.prefix import Prefix
from peft_cli.method.pt import PT
from peft_cli.method.spt import SPT
from peft_cli.transfer import start_from
from tests.conftest import examples_for, make_backbone

RUN = {"method": "pt", "data": "mini", "shots": 50, "seed": 0}


def prompt(length=4, seed=0):
    torch.manual_seed(seed)
    return PT(make_backbone("gpt2"), length, "random", None, lr=0.1)


def stored(method, folder: Path, sources=()) -> str:
    method.fold()
    folder.mkdir()
    save_file(method.state_dict(), folder / "method.safetensors")
    (folder / "result.json").write_text(json.dumps({"run": RUN, "sources": list(sources)}))
    return str(folder)


def logits(method):
    backbone = method.backbone
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def test_a_method_starts_where_another_run_ended(tmp_path):
    first, second = prompt(seed=0), prompt(seed=1)
    (source,) = start_from(second, stored(first, tmp_path / "a"))
    assert torch.equal(first.prompt, second.prompt)
    assert source["run"] == RUN and len(source["sha256"]) == 64 and source["sources"] == []


def test_the_chain_of_sources_is_kept(tmp_path):
    (source,) = start_from(prompt(), stored(prompt(), tmp_path / "a", sources=[{"run": {"data": "e2e"}}]))
    assert source["sources"] == [{"run": {"data": "e2e"}}]


def test_several_runs_are_averaged(tmp_path):
    first, second, third = (prompt(seed=seed) for seed in range(3))
    start_from(third, [stored(first, tmp_path / "a"), stored(second, tmp_path / "b")])
    assert torch.allclose(third.prompt, (first.prompt + second.prompt) / 2)


def test_without_a_source_nothing_happens():
    method = prompt()
    before = method.prompt.clone()
    assert start_from(method, None) == [] and torch.equal(method.prompt, before)


@pytest.mark.parametrize("target", ["prompt", "input", "both"])
@pytest.mark.parametrize("shape", ["d_model", "tokens", "scalar"])
def test_spt_goes_on_with_the_same_logits(tmp_path, target, shape):
    def make(seed):
        torch.manual_seed(seed)
        return SPT(
            make_backbone("gpt2"), 4, "random", None, scale_target=target, scale_shape=shape, lr=0.1, scale_lr=0.1
        )

    first, second = make(0), make(1)
    first.scale.data += 0.3 * torch.rand_like(first.scale)
    expected = logits(first)
    start_from(second, stored(first, tmp_path / "a"))
    assert torch.allclose(logits(second), expected, atol=1e-5)


def test_a_prefix_goes_on_without_its_mlp(tmp_path):
    def make(bottleneck):
        return Prefix(make_backbone("t5"), 3, bottleneck, "random", None, "front", shift_positions=False, lr=1e-3)

    first = make(8)
    folder, expected = stored(first, tmp_path / "a"), logits(first)
    second = make(None)
    start_from(second, folder)
    assert torch.allclose(logits(second), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"say method\.bottleneck=null"):
        start_from(make(8), folder)


def test_other_shapes_are_told(tmp_path):
    with pytest.raises(
        ValueError, match=r"stored tensors are \{'prompt': \[4, 16\]\} and the method has \{'prompt': \[5, 16\]\}"
    ):
        start_from(prompt(length=5), stored(prompt(length=4), tmp_path / "a"))


def test_runs_that_differ_cannot_be_averaged(tmp_path):
    folders = [stored(prompt(length=n), tmp_path / str(n)) for n in (3, 4)]
    with pytest.raises(ValueError, match=r"tensors differ: prompt \[3, 16\] and prompt \[4, 16\]"):
        start_from(prompt(), folders)


def test_a_folder_without_a_result_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder of a finished run"):
        start_from(prompt(), str(tmp_path))


def test_stored_tensors_are_plain(tmp_path):
    assert set(load_file(Path(stored(prompt(), tmp_path / "a")) / "method.safetensors")) == {"prompt"}
