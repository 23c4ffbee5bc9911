"""Checkpoints from elsewhere: nothing of them is run, nothing is asked, and the error is one sentence."""

import builtins
import json
from pathlib import Path

import pytest
import torch

from peft_cli.backbone.loading import load_backbone
from tests.conftest import make_backbone

EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from transformers import PretrainedConfig, GPT2LMHeadModel, PreTrainedTokenizerFast
class Config(PretrainedConfig):
    model_type = "evil"
class Model(GPT2LMHeadModel):
    pass
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
LOAD = {"device": "cpu", "max_source_tokens": 24, "max_target_tokens": 12}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A saved GPT-2 beside code that leaves a file when it runs; a question on the terminal fails the test."""
    backbone = make_backbone("gpt2")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path


def change(path: Path, **keys) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def ran(folder: Path) -> bool:
    return bool([*folder.rglob("ran")]) or (folder / "modules").exists()


def test_code_for_an_unknown_family_is_refused_without_a_question(folder):
    names = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    change(folder / "config.json", model_type="evil", auto_map=names)
    with pytest.raises(ValueError, match="the folder holds no model that can be loaded") as error:
        load_backbone(str(folder), **LOAD)
    assert "\n" not in str(error.value) and not ran(folder)


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}),
        ("config.json", {"auto_map": {"AutoTokenizer": [None, "evil.Tokenizer"]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}}),
        (
            "tokenizer_config.json",
            {"auto_map": {"AutoTokenizer": [None, "evil.Tokenizer"]}, "tokenizer_class": "Tokenizer"},
        ),
    ],
)
def test_code_beside_a_known_family_does_not_run(folder, file, keys):
    change(folder / file, **keys)
    try:
        loaded = load_backbone(str(folder), **LOAD)
    except ValueError as error:
        assert "the folder holds no model that can be loaded" in str(error) and "\n" not in str(error)
    else:
        assert loaded.fingerprint() == make_backbone("gpt2").fingerprint()
    assert not ran(folder)


def test_pickled_weights_are_refused(folder):
    weights = make_backbone("gpt2").model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="the folder holds no model that can be loaded") as error:
        load_backbone(str(folder), **LOAD)
    assert "\n" not in str(error.value)
