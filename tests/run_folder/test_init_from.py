import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from peft_cli.method.dept import DePT
from peft_cli.method.prefix import Prefix
from peft_cli.method.pt import PT
from peft_cli.method.spt import SPT
from peft_cli.run_folder.init_from import resolve_runs, resolve_single_run, start_from
from tests.conftest import examples_for, make_backbone

RUN = {"method": "pt", "data": "mini", "shots": 50, "seed": 0}


def prompt(length=4, seed=0):
    torch.manual_seed(seed)
    return PT(make_backbone("gpt2"), length, "random", None, lr=0.1)


def stored(method, folder: Path, sources=(), **config) -> str:
    method.fold()
    folder.mkdir()
    save_file(method.state_dict(), folder / "method.safetensors")
    kind = type(method)
    config = {"method": {"_target_": f"{kind.__module__}.{kind.__name__}"}, "init_from": None, "seed": 0} | config
    (folder / "result.json").write_text(json.dumps({"run": RUN, "sources": list(sources), "config": config}))
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


def test_other_shapes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"stored tensors are prompt \[4, 16\] and the method has prompt \[5, 16\]"):
        start_from(prompt(length=5), stored(prompt(length=4), tmp_path / "a"))


def test_another_method_is_refused(tmp_path):
    folder = stored(prompt(), tmp_path / "a")
    spt = SPT(make_backbone("gpt2"), 4, "random", None, "prompt", "d_model", lr=0.1, scale_lr=0.1)
    with pytest.raises(
        ValueError, match=r"is a run of peft_cli\.method\.pt\.PT, and this is peft_cli\.method\.spt\.SPT"
    ):
        start_from(spt, folder)


def dept(rank=2, seed=0):
    torch.manual_seed(seed)
    sizes = {"budget": None, "length": 4, "rank": rank, "positions": 24, "scale": "code", "offset_by": "position"}
    method = DePT(make_backbone("t5"), **sizes, init="random", text=None, lr=0.1, offset_lr=0.1)
    torch.nn.init.normal_(method.B)
    return method


def test_dept_goes_on_with_prompt_and_offsets(tmp_path):
    first, second = dept(seed=0), dept(seed=1)
    start_from(second, stored(first, tmp_path / "a"))
    assert torch.equal(logits(first), logits(second))


@pytest.mark.parametrize("source", [lambda: dept(rank=3, seed=0), lambda: prompt(seed=0)], ids=["dept", "pt"])
def test_dept_goes_on_with_the_prompt_alone(tmp_path, source):
    first, second = source(), dept(seed=1)
    before = second.A.clone(), second.B.clone()
    start_from(second, stored(first, tmp_path / "a"), ["prompt"])
    assert torch.equal(first.prompt, second.prompt)
    assert torch.equal(second.A, before[0]) and torch.equal(second.B, before[1])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["B"], r"init_tensors=B is \[3, 16\] in the run of init_from and \[2, 16\] in the method"),
        (["scale"], "init_tensors=scale is absent in the run of init_from and absent in the method"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(tmp_path, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        start_from(dept(rank=2), stored(dept(rank=3), tmp_path / "a"), names)


def test_tensors_need_a_run_to_take_them_from():
    with pytest.raises(ValueError, match=r"init_tensors=\['prompt'\] needs init_from"):
        start_from(prompt(), None, ["prompt"])


def test_a_pattern_stands_for_the_runs_of_all_seeds(tmp_path):
    folders = [stored(prompt(seed=n), tmp_path / f"seed={n}-x", seed=n) for n in range(2)]
    assert resolve_runs(str(tmp_path / "seed=*")) == folders and resolve_runs(str(tmp_path / "seed=1-*")) == folders[1]
    assert resolve_runs(folders[0]) == folders[0] and resolve_runs(None) is None


def test_a_pattern_of_runs_that_differ_is_refused(tmp_path):
    for n in range(2):
        stored(prompt(), tmp_path / f"seed={n}-x", shots=50 * n)
    with pytest.raises(ValueError, match="matches 2 runs that differ in shots; give a narrower pattern"):
        resolve_runs(str(tmp_path / "seed=*"))


def test_a_pattern_of_runs_with_other_sections_is_refused(tmp_path):
    for n, more in enumerate(({}, {"content": "b"})):
        stored(prompt(), tmp_path / f"seed={n}-x", **more)
    with pytest.raises(ValueError, match="matches 2 runs that differ in content"):
        resolve_runs(str(tmp_path / "seed=*"))


def test_one_run_is_one_folder(tmp_path):
    folders = [stored(prompt(seed=n), tmp_path / f"seed={n}-x", seed=n) for n in range(2)]
    assert resolve_single_run(folders[0], "backbone.name") == folders[0]
    assert resolve_single_run(str(tmp_path / "seed=1*"), "backbone.name") == folders[1]
    with pytest.raises(
        ValueError, match=r"backbone\.name=.* matches 2 runs, and has to be one; give a narrower pattern"
    ):
        resolve_single_run(str(tmp_path / "seed=*"), "backbone.name")


def test_a_pattern_follows_a_link(tmp_path):
    folder = stored(prompt(), tmp_path / "disk")
    (tmp_path / "seed=0").symlink_to(folder)
    assert resolve_runs(str(tmp_path / "seed=*")) == str(tmp_path / "seed=0")


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ("", "result.json cannot be read"),
        ("[]", "result.json cannot be read: it is no JSON object"),
        ("{}", "result.json does not name its run"),
        ('{"run": {}}', "has a result without a configuration"),
        ('{"run": {}, "config": {"method": 3}}', "is a run of None, and this is"),
    ],
)
def test_a_broken_source_is_one_sentence(tmp_path, result, sentence):
    folder = stored(prompt(), tmp_path / "a")
    (tmp_path / "a" / "result.json").write_text(result)
    with pytest.raises(ValueError, match=sentence):
        start_from(prompt(), folder)


def test_broken_tensors_of_a_source_are_one_sentence(tmp_path):
    folder = stored(prompt(), tmp_path / "a")
    (tmp_path / "a" / "method.safetensors").write_bytes(b"\xff" * 16)
    with pytest.raises(ValueError, match=r"method\.safetensors cannot be read"):
        start_from(prompt(), folder)


def test_a_pattern_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="matches no folder of a finished run; run its source first"):
        resolve_runs(str(tmp_path / "seed=*"))


def test_runs_that_differ_cannot_be_averaged(tmp_path):
    folders = [stored(prompt(length=n), tmp_path / str(n)) for n in (3, 4)]
    with pytest.raises(ValueError, match=r"tensors differ: prompt \[3, 16\] and prompt \[4, 16\]"):
        start_from(prompt(), folders)


def test_a_folder_without_a_result_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder of a finished run"):
        start_from(prompt(), str(tmp_path))


def test_stored_tensors_are_plain(tmp_path):
    assert set(load_file(Path(stored(prompt(), tmp_path / "a")) / "method.safetensors")) == {"prompt"}
