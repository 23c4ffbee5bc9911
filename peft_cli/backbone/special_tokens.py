"""The special tokens of a checkpoint, from all files that name them."""

from __future__ import annotations

from typing import cast

from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


def set_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, list[int]]:
    """Sets the model's end, start and padding tokens from tokenizer, configuration and generation configuration.

    Writing stops at an end token of any of them; targets end with the tokenizer's. The rest of the generation
    configuration is dropped, as it would fill in what a run leaves open. Returns the id that pads, which is masked, so
    that any token of the embedding will do, and all end tokens. Raises ValueError for an encoder-decoder without a
    start token.
    """
    config, named = model.config, [tokenizer.eos_token_id]
    configs = [config, getattr(model, "generation_config", None)]  # an encoder has none
    for own in configs:
        given = getattr(own, "eos_token_id", None)
        named += given if isinstance(given, list) else [given]
    ends = [end for end in dict.fromkeys(named) if end is not None]
    starts = [getattr(own, "decoder_start_token_id", None) for own in configs]
    start = next((own for own in starts if own is not None), None)
    if config.is_encoder_decoder and start is None:
        raise ValueError(f"{config.model_type} has no decoder_start_token_id in its configuration")
    n_rows = len(cast(Tensor, model.get_input_embeddings().weight))
    pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    pad = next(own for own in pads if own is not None and own < n_rows)
    model.generation_config = GenerationConfig(
        eos_token_id=ends,
        pad_token_id=pad,
        bos_token_id=getattr(config, "bos_token_id", None),
        decoder_start_token_id=start,
    )
    if start is not None:
        config.decoder_start_token_id, config.pad_token_id = start, pad  # transformers shifts targets by them
    return pad, ends
