"""Counts of weights on the shapes of real models: the papers' formulas, and what peft_cli/method/README.md tells."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BartConfig, GPT2Config, T5Config

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.config.targets import resolve
from tests.conftest import make_tokenizer

ROOT = Path(__file__).parents[2]
MODELS = {
    "gpt2": (AutoModelForCausalLM, GPT2Config(n_embd=1024, n_layer=24, n_head=16)),
    "t5": (AutoModelForSeq2SeqLM, T5Config(
        vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, decoder_start_token_id=0)),
    "bart": (AutoModelForSeq2SeqLM, BartConfig()),  # BART large
}  # fmt: skip
L, D = 24, 1024  # layers and d_model of GPT-2 medium
DEPT = "length={} rank={} positions={}"
FORMULAS = [
    # Li and Liang (2021), section 4.3: |P| = 5, bottleneck 512; 250 K of 345 M in their footnote 7
    ("prefix", "gpt2", "", 5 * D + D * 512 + 512 + 512 * 2 * L * D + 2 * L * D, 5 * 2 * L * D),
    ("prefix", "gpt2", "length=10", 10 * D + D * 512 + 512 + 512 * 2 * L * D + 2 * L * D, 491_520),
    # their "2 %" of BART large: three kinds of attention in 12 layers
    ("prefix", "bart", "length=100 bottleneck=null", 100 * 3 * 12 * 2 * D, 7_372_800),
    ("infix", "gpt2", "", 25_744_896, 245_760),
    ("prefix_embedding", "gpt2", "length=10", 10 * D + 2 * D * 512 + 512 + D, 10 * D),
    # Shi and Lipani (2024): a prompt of 100 vectors of T5-base spent in four ways
    ("pt", "t5", "length=100", 76_800, 76_800),
    *(("dept", "t5", DEPT.format(*sizes), 76_800, 76_800) for sizes in ((80, 15, 256), (60, 30, 256), (40, 45, 256))),
    ("dept", "t5", DEPT.format(60, 24, 512), 76_800, 76_800),
    ("dept", "t5", "budget=100 length=60 rank=null positions=256", 76_800, 76_800),
    ("spt", "gpt2", "", 101 * D, 100 * D),
    # 0.1 % and 3 % of GPT-2 medium: 0.37 M and 11.09 M in table 3 of Hu et al. (2021, LoRA)
    ("adapter", "gpt2", "placement=pfeiffer size=7 reduction=null", L * (2 * 7 * D + 7 + D), 368_808),
    ("adapter", "gpt2", "placement=pfeiffer size=225 reduction=null", L * (2 * 225 * D + 225 + D), 11_089_176),
    ("adapter", "gpt2", "", 2 * L * (2 * 64 * D + 64 + D), 6_343_680),
    ("adapter", "gpt2", "scale=null", 6_343_680 + 2 * L, 6_343_728),
    # A and B of query and value; n^3 shared numbers, and s, t and a bias for each of two maps
    ("lora", "gpt2", "rank=4", L * 2 * 2 * 4 * D, 393_216),
    ("compacter", "gpt2", "", 4**3 + 2 * L * (2 * (D + 24) + 24 + D), 150_976),
    ("compacter", "gpt2", "placement=pfeiffer", 4**3 + L * (2 * (D + 24) + 24 + D), 75_520),
    ("ia3", "gpt2", "", L * (D + D + 4 * D), 147_456),
    ("bitfit", "gpt2", "", L * (D + 3 * D + D + D + 4 * D + D) + D, 271_360),
    # 25.19 M in the same table 3: two blocks without the embedding
    ("ft_top2", "gpt2", "", 2 * (4 * D + 12 * D * D + 9 * D), 25_192_448),
    ("ft", "gpt2", "", 354_823_168, 354_823_168),
    # a prefix of 10, and with a gate of d_model + 1 each: two LoRAs of rank 8, an adapter of 64 units, the prefix
    ("unipelt", "gpt2", "prefix_bottleneck=null", 10 * 2 * L * D + L * (
        2 * (2 * 8 * D + D + 1) + 2 * 64 * D + 64 + D + D + 1 + D + 1), 4_548_192),
]  # fmt: skip


def counts(name: str, family: str, options: str = "") -> tuple[int, int]:
    """How many weights a method trains and stores on the real shape of a family's model."""
    auto, config = MODELS[family]
    arguments = OmegaConf.merge(
        OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml"), OmegaConf.from_dotlist(options.split())
    )
    arguments = OmegaConf.to_container(arguments)
    with torch.device("meta"):
        model = auto.from_config(config, attn_implementation=IMPLEMENTATION)
    method = resolve(arguments.pop("_target_"), "method")(Backbone(model, make_tokenizer(family)), **arguments)
    trained = sum(p.numel() for p in method.parameters())
    method.fold()
    return trained, sum(p.numel() for p in method.parameters())


@pytest.mark.parametrize(("name", "family", "options", "trained", "stored"), FORMULAS)
def test_a_method_has_the_weights_of_its_formula(name, family, options, trained, stored):
    assert counts(name, family, options) == (trained, stored)


def test_the_papers_numbers_for_gpt2_medium():
    assert counts("prefix", "gpt2") == (25_744_896, 245_760)


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
    trained, stored = counts(name, family)
    assert f"{trained:,} / {stored:,}" == told()[name, family]
