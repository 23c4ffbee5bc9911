"""A tiny random configuration of every family: 2 layers of width 16."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.backbone.families import FAMILIES
from tests.conftest import D_MODEL, HEADS, LAYERS, POSITIONS, V, make_tokenizer, noisy

TOKENS = {"vocab_size": V, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
PLAIN = TOKENS | {
    "hidden_size": D_MODEL, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 32,
    "max_position_embeddings": POSITIONS,
}  # fmt: skip
LLAMA = PLAIN | {"num_key_value_heads": 1}
GEMMA = LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6}
ENCODER = PLAIN | {
    "num_labels": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "type_vocab_size": 1,
    "max_position_embeddings": POSITIONS + 2,
}  # fmt: skip
BART = TOKENS | {
    "d_model": D_MODEL, "encoder_layers": LAYERS, "decoder_layers": LAYERS, "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_start_token_id": 2,
    "max_position_embeddings": POSITIONS, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
}  # fmt: skip
T5 = TOKENS | {
    "d_model": D_MODEL, "d_kv": 6, "d_ff": 32, "num_layers": LAYERS, "num_heads": HEADS, "decoder_start_token_id": 1,
    "dropout_rate": 0.0,
}  # fmt: skip
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": TOKENS | NO_DROPOUT | {
        "n_positions": POSITIONS, "n_embd": D_MODEL, "n_layer": LAYERS, "n_head": HEADS},
    "llama": LLAMA, "mistral": LLAMA | {"sliding_window": 6}, "qwen2": LLAMA, "qwen3": LLAMA | {"head_dim": 8},
    "smollm3": LLAMA | {"no_rope_layer_interval": 2},
    "granite": LLAMA | {
        "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 2.0, "attention_multiplier": 0.3},
    "gemma2": GEMMA, "gemma3_text": GEMMA, "olmo2": LLAMA,
    "olmo3": LLAMA | {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": LLAMA | NO_DROPOUT, "gpt_neox": PLAIN | {"hidden_dropout": 0.0, "attention_dropout": 0.0},
    "opt": TOKENS | {
        "hidden_size": D_MODEL, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": 32,
        "max_position_embeddings": POSITIONS, "word_embed_proj_dim": D_MODEL, "dropout": 0.0},
    "gpt_neo": TOKENS | {
        "hidden_size": D_MODEL, "num_layers": LAYERS, "num_heads": HEADS, "intermediate_size": 32,
        "max_position_embeddings": POSITIONS, "attention_types": [[["global", "local"], 1]], "window_size": 6,
        "embed_dropout": 0.0, "attention_dropout": 0.0, "resid_dropout": 0.0},
    "bart": BART, "mbart": BART, "pegasus": BART, "t5": T5, "mt5": T5 | {"feed_forward_proj": "gated-gelu"},
    "umt5": T5 | {"feed_forward_proj": "gated-gelu"},
    "t5gemma": TOKENS | {"encoder": GEMMA, "decoder": GEMMA, "decoder_start_token_id": 0, "dropout_rate": 0.0},
    "roberta": ENCODER, "xlm-roberta": ENCODER, "bert": ENCODER, "electra": ENCODER | {"embedding_size": D_MODEL},
    "distilbert": {
        "vocab_size": V, "dim": D_MODEL, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 32, "pad_token_id": 1,
        "max_position_embeddings": POSITIONS, "num_labels": 2, "dropout": 0.0, "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0},
    "modernbert": PLAIN | {
        "num_labels": 2, "local_attention": 6, "global_attn_every_n_layers": 2, "cls_token_id": 0, "sep_token_id": 2},
    "deberta-v2": ENCODER | {
        "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0, "position_buckets": 8,
        "position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "max_relative_positions": -1, "pooler_dropout": 0.0},
    "eurobert": LLAMA | {"num_labels": 2, "mask_token_id": 3},
}  # fmt: skip
AROUND = {
    "t5": ("t5", "mt5", "umt5"),
    "bart": ("bart", "mbart", "pegasus"),
    "llama": ("llama", "gemma2", "gemma3_text"),
}


def make_model(name: str, attention: str, seed: int = 0):
    """A model of a family with random weights that matter."""
    family, config = FAMILIES[name], AutoConfig.for_model(name, **CONFIGS[name])
    if family.is_decoder_only:
        auto = AutoModelForCausalLM
    else:
        auto = AutoModelForSeq2SeqLM if family.generates else AutoModelForSequenceClassification
    torch.manual_seed(seed)
    return noisy(auto.from_config(config, attn_implementation=attention).eval())


def make_family(name: str, **options) -> Backbone:
    """A backbone of a family, with the tokenizer of the tests."""
    family = FAMILIES[name]
    like = next(
        (kind for kind, members in AROUND.items() if name in members), "gpt2" if family.generates else "roberta"
    )
    options = {"max_source_tokens": 24, "max_target_tokens": 12} | options
    labels = () if family.generates else ("good", "bad")
    separator = "|" if family.is_decoder_only else None
    attention = IMPLEMENTATION if family.attentions else "eager"
    return Backbone(make_model(name, attention), make_tokenizer(like), labels, separator, **options)
