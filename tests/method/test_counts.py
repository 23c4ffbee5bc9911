"""The counts that peft_cli/method/README.md tells, from the shapes of the real models."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPT2Config, T5Config

from peft_cli.backbone import Backbone
from peft_cli.backbone.places import IMPLEMENTATION
from peft_cli.check import resolve
from tests.conftest import make_tokenizer

ROOT = Path(__file__).parents[2]
MODELS = {
    "gpt2": (AutoModelForCausalLM, GPT2Config(n_embd=1024, n_layer=24, n_head=16)),
    "t5": (AutoModelForSeq2SeqLM, T5Config(
        vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, decoder_start_token_id=0)),
}  # fmt: skip


def told() -> dict[tuple[str, str], str]:
    """What the page says for each method and family."""
    lines = (ROOT / "peft_cli" / "method" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| `")]
    return {(row[1].strip("`"), family): row[3 + i] for row in rows for i, family in enumerate(("gpt2", "t5"), start=1)}


def test_every_method_is_on_the_page():
    assert {name for name, _ in told()} | {"method="} == {p.stem for p in (ROOT / "conf/method").glob("*.yaml")} | {
        "method="
    }


@pytest.mark.parametrize(("name", "family"), [pair for pair, text in told().items() if "/" in text])
def test_a_count_on_the_page_is_the_methods(name, family):
    auto, config = MODELS[family]
    arguments = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml"))
    with torch.device("meta"):
        model = auto.from_config(config, attn_implementation=IMPLEMENTATION)
    backbone = Backbone(model, make_tokenizer(family))
    method = resolve(arguments.pop("_target_"))(backbone, **arguments)
    trained = sum(p.numel() for p in method.parameters())
    method.fold()
    assert f"{trained:,} / {sum(p.numel() for p in method.parameters()):,}" == told()[name, family]
