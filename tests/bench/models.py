"""Models of real shapes with random weights, rows of random tokens, and configurations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    GPT2Config,
    PreTrainedModel,
    T5Config,
)

from peft_cli.backbone import Backbone, Encoded
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.backbone.loading import EMBEDDED
from peft_cli.config.compose import compose
from tests.bench.lines import Settings

BART = {"encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12, "decoder_attention_heads": 12}
BART |= {"d_model": 768, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "vocab_size": 50265}
T5 = {
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_layers": 12,
    "num_heads": 12,
    "vocab_size": 32128,
    "decoder_start_token_id": 0,
}
SHAPES = {  # of the configuration's class
    "gpt2": (GPT2Config, {}),
    "gpt2-medium": (GPT2Config, {"n_layer": 24, "n_embd": 1024, "n_head": 16}),
    "bart-base": (BartConfig, BART),
    "t5-base": (T5Config, T5),
}
NARROW = {
    "gpt2": {"n_layer": 3, "n_embd": 32, "n_head": 2, "bos_token_id": 1, "eos_token_id": 1},
    "bart": dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 32)
    | dict.fromkeys(("encoder_layers", "decoder_layers"), 3)
    | dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    | {"d_model": 32},
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 3, "num_heads": 2},
}  # of --tiny
NARROW_VOCABULARY = 4096  # words that the tokenizers of the embedded models have
LOWEST_ID = 10  # of random tokens: those below may mean something


def model(
    shape: str, settings: Settings, implementation: str = "sdpa", dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """A model with the weights that this shape always gets."""
    kind, sizes = SHAPES[shape]
    sizes = sizes | (NARROW[kind.model_type] | {"vocab_size": NARROW_VOCABULARY} if settings.tiny else {})
    auto = AutoModelForCausalLM if kind is GPT2Config else AutoModelForSeq2SeqLM
    torch.manual_seed(0)
    made = auto.from_config(kind(**sizes), attn_implementation=implementation)
    return made.to(settings.device, dtype).eval()


def backbone(shape: str, settings: Settings, dtype: torch.dtype = torch.float32) -> Backbone:
    """The same model as this package has it."""
    made = model(shape, settings, IMPLEMENTATION, dtype)
    return Backbone(made, AutoTokenizer.from_pretrained(EMBEDDED / f"tiny-{made.config.model_type}"))


def rows(n: int, source: int, target: int, of: Backbone) -> list[Encoded]:
    """`n` rows of random tokens, all of one length."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(LOWEST_ID, of.config.vocab_size, (n, source + target), generator=generator).tolist()
    return [Encoded(row[:source], row[source:], is_cut=False) for row in ids]


def stir(module: nn.Module) -> None:
    """Makes tensors that start at zero matter."""
    with torch.no_grad():
        for p in module.parameters():
            p += 0.02 * torch.randn_like(p)


def composed(*overrides: str) -> dict:
    """The configuration of a run."""
    return compose(overrides).config


def gradients(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy of the gradient of each tensor."""
    return {name: p.grad.detach().clone() for name, p in named.items()}
