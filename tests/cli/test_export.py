import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from peft_cli.cli.export import build, export, main
from peft_cli.config.targets import resolve
from tests.conftest import examples_for, make_backbone

ROOT = Path(__file__).parents[2]
CHANGES = {"prefix": {"bottleneck": 8}, "dept": {"positions": 24}, "pt": {"length": 4}, "spt": {"length": 4}}
CHANGES |= {"compacter": {"size": 8}}
WRITERS = ("gpt2", "llama", "t5", "bart")
SAME = [(name, family) for name in ("pt", "spt", "lora", "ia3", "hf_peft") for family in WRITERS]
SAME += [(name, family) for name in ("prefix", "prefix_embedding") for family in ("gpt2", "llama")]
CLASSIFY = [(name, "roberta") for name in ("lora", "ia3", "hf_peft")]
NONE = [
    ("dept", "t5"),
    ("prefix", "t5"),
    ("pt", "roberta"),
    ("adapter", "gpt2"),
    ("compacter", "t5"),
    ("infix", "gpt2"),
]
NONE += [("bitfit", "gpt2"), ("unipelt", "bart"), ("ft_top2", "gpt2"), ("ft", "t5")]


@pytest.fixture
def run(tmp_path, request):
    """A finished run's folder of a method on a backbone, and the method with tensors that are not its first ones."""
    name, family, *dtype = request.param
    backbone = make_backbone(family)
    backbone.model.save_pretrained(tmp_path / "model")
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    config = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml")) | CHANGES.get(name, {})
    keys = {"dtype": (dtype or ["fp32"])[0], "device": "cpu", "separator": "|" if family == "llama" else None}
    keys |= {"max_source_tokens": 24, "max_target_tokens": 12, "name": str(tmp_path / "model")}
    sections = {"backbone": {"_target_": "peft_cli.backbone.loading.load_backbone", **keys}, "method": config}
    sections["data"] = {"_target_": "peft_cli.data.Data", "labels": list(backbone.encoder.labels)}
    sections["data"] |= {"train": [], "validation": [], "test": [], "metrics": []}
    method = build(sections)
    torch.manual_seed(1)
    for p in method.parameters():
        p.data += 0.1 * torch.randn_like(p)
    method.fold()
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(sections))
    save_file(dict(method.state_dict()), folder / "method.safetensors")
    (folder / "result.json").write_text("{}")
    return folder, method.eval()


@pytest.mark.parametrize("run", [*SAME, *CLASSIFY], indirect=True, ids=lambda pair: "-".join(pair))
def test_hf_peft_computes_the_same(run, tmp_path):
    from peft import PeftModel

    folder, method = run
    out = export(folder, tmp_path / "adapter")
    backbone = method.backbone
    other = make_backbone(backbone.config.model_type)
    model = PeftModel.from_pretrained(other.model, out).eval()
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    with torch.no_grad():
        logits, _ = backbone.forward(method.inputs(batch))
        theirs = model(**batch.tensors()).logits
    assert torch.allclose(at_targets(theirs, batch), logits, atol=1e-5)


def at_targets(logits, batch):
    """Logits [N, V] where a label is predicted, from a model's [B, P + T, V] or [B, V] for classes."""
    labels = batch.labels
    if logits.ndim == 2:
        return logits
    if (labels[:, 0] != -100).all():  # an encoder-decoder's begin with a target
        return logits[labels != -100]
    return logits[:, -labels.shape[1] : -1][labels[:, 1:] != -100]


@pytest.mark.parametrize("run", SAME, indirect=True, ids=lambda pair: "-".join(pair))
def test_hf_peft_writes_the_same(run, tmp_path):
    from peft import PeftModel

    folder, method = run
    backbone = method.backbone
    other = make_backbone(backbone.config.model_type)
    model = PeftModel.from_pretrained(other.model, export(folder, tmp_path / "adapter")).eval()
    (row,) = backbone.encode(examples_for(backbone)[:1])
    batch = backbone.batch([row], training=False)
    ours = backbone.generate(method.inputs(batch), num_beams=1, max_new_tokens=6, min_new_tokens=6)
    theirs = model.generate(**batch.tensors(), do_sample=False, max_new_tokens=6, min_new_tokens=6, pad_token_id=2)
    read = batch.input_ids.shape[1] if backbone.family.is_decoder_only else 0
    assert torch.equal(ours, theirs[:, read:])


@pytest.mark.parametrize("run", NONE, indirect=True, ids=lambda pair: "-".join(pair))
def test_what_hf_peft_has_not_got_says_how_to_load_it_in_two_lines(run, tmp_path, monkeypatch, capsys):
    folder, method = run
    monkeypatch.setattr("sys.argv", ["peft-export", str(folder)])
    assert main() == 2
    shown = capsys.readouterr().err
    assert f"HF peft has no such method as {type(method).__name__} with these settings" in shown
    names: dict = {}
    exec("\n".join(shown.partition("in two lines: ")[2].strip().split("; ")), names)  # what a user would type
    load_run, batch = names["method"], method.backbone.batch(method.backbone.encode(examples_for(method.backbone)))
    with torch.no_grad():
        outs = [m.backbone.forward(m.inputs(batch))[0] for m in (load_run, method)]
    assert torch.equal(*outs)


@pytest.mark.parametrize("run", [("lora", "roberta", "bf16")], indirect=True, ids=["bf16"])
def test_a_head_in_16_bits_is_exported_as_it_was_stored(run, tmp_path):
    stored, out = load_file(run[0] / "method.safetensors"), export(run[0], tmp_path / "adapter")
    head = {name.removeprefix("adopted."): p for name, p in stored.items() if name.startswith("adopted.")}
    exported = load_file(out / "adapter_model.safetensors")
    assert {p.dtype for p in head.values()} == {torch.float32} and len(head) == 4
    for name, tensor in head.items():
        assert torch.equal(exported[f"base_model.model.{name.replace('/', '.')}"], tensor.bfloat16())


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder of a finished run"):
        export(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("run", [("pt", "gpt2")], indirect=True, ids=["pt"])
def test_the_adapter_names_its_backbone(run, tmp_path):
    settings = json.loads((export(run[0], tmp_path / "adapter") / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"].endswith("model") and settings["num_virtual_tokens"] == 4
    assert resolve("peft_cli.method.pt.PT", "method") is type(run[1])
