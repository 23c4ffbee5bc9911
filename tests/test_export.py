import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from peft_cli.check import resolve
from peft_cli.export import build, export, main
from tests.conftest import examples_for, make_backbone

ROOT = Path(__file__).parents[1]
CHANGES = {"prefix": {"bottleneck": 8}, "dept": {"positions": 24}, "pt": {"length": 4}, "spt": {"length": 4}}
SAME = [("pt", f) for f in ("gpt2", "llama", "t5", "bart")] + [("spt", "gpt2"), ("prefix", "gpt2")]
SAME += [(name, family) for name in ("lora", "ia3") for family in ("gpt2", "llama", "t5", "bart")]


@pytest.fixture
def run(tmp_path, request):
    """A finished run's folder of a method on a backbone, and the method with tensors that are not its first ones."""
    name, family = request.param
    backbone = make_backbone(family)
    backbone.model.save_pretrained(tmp_path / "model")
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    config = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml")) | CHANGES.get(name, {})
    keys = {"dtype": "fp32", "device": "cpu", "separator": "|" if family == "llama" else None}
    keys |= {"max_source_tokens": 24, "max_target_tokens": 12, "name": str(tmp_path / "model")}
    sections = {"backbone": {"_target_": "peft_cli.backbone.load", **keys}, "method": config}
    sections["data"] = {"_target_": "peft_cli.data.mini.load"}
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
    return folder, method


@pytest.mark.parametrize("run", SAME, indirect=True, ids=lambda pair: "-".join(pair))
def test_hf_peft_computes_the_same(run, tmp_path):
    from peft import PeftModel

    folder, method = run
    out = export(folder, tmp_path / "adapter")
    backbone = method.backbone
    other = make_backbone(backbone.config.model_type)
    model = PeftModel.from_pretrained(other.model, out).eval()
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    with torch.no_grad():
        logits, targets = backbone.forward(method.inputs(batch))
        loss = torch.nn.functional.cross_entropy(logits, targets)
        assert torch.allclose(model(**batch).loss, loss, atol=1e-5)


@pytest.mark.parametrize(
    "run", [("pt", "gpt2"), ("lora", "gpt2"), ("prefix", "gpt2")], indirect=True, ids=lambda p: p[0]
)
def test_hf_peft_writes_the_same(run, tmp_path):
    from peft import PeftModel

    folder, method = run
    backbone = method.backbone
    model = PeftModel.from_pretrained(make_backbone("gpt2").model, export(folder, tmp_path / "adapter")).eval()
    (row,) = backbone.encode(examples_for(backbone)[:1])
    batch = backbone.batch([row], training=False)
    ours = backbone.generate(method.inputs(batch), num_beams=1, max_new_tokens=6, min_new_tokens=6)
    theirs = model.generate(**batch, do_sample=False, max_new_tokens=6, min_new_tokens=6, pad_token_id=2)
    assert torch.equal(ours, theirs[:, batch["input_ids"].shape[1] :])


@pytest.mark.parametrize(
    "run", [("dept", "t5"), ("prefix", "t5"), ("adapter", "gpt2")], indirect=True, ids=lambda p: "-".join(p)
)
def test_what_hf_peft_has_not_got_says_how_to_load_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["peft-export", str(run[0])])
    assert main() == 2
    assert "HF peft has no such method as" in (shown := capsys.readouterr().err) and "load_state_dict" in shown


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder of a finished run"):
        export(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("run", [("pt", "gpt2")], indirect=True, ids=["pt"])
def test_the_adapter_names_its_backbone(run, tmp_path):
    settings = json.loads((export(run[0], tmp_path / "adapter") / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"].endswith("model") and settings["num_virtual_tokens"] == 4
    assert resolve("peft_cli.method.pt.PT") is type(run[1])
