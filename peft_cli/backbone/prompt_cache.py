"""The prompt of a decoder: encoded once, for all rows that read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

KeyValue = tuple[Tensor, Tensor]  # each [B, kv_heads, T, d_head]


@dataclass(frozen=True)
class PromptCache:
    """Keys and values [1, kv_heads, P, d_head] of a prompt in each attention module of a decoder, first to last."""

    layers: list[KeyValue]

    @property
    def length(self) -> int:
        """P."""
        return self.layers[0][0].shape[2]


def encode_prompt(model: PreTrainedModel, vectors: Tensor, first_position: int) -> PromptCache:
    """The cache of `vectors` [P, d_model] at the positions from `first_position` on, from one pass of one row."""
    positions = torch.arange(len(vectors), device=vectors.device).unsqueeze(0) + first_position
    cache, mask = DynamicCache(), torch.ones_like(positions)  # without a mask, transformers waits for the device
    rows, training = vectors.unsqueeze(0), model.training
    model.eval()  # transformers fills no cache in training with its gradient checkpointing
    model.base_model(
        inputs_embeds=rows, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    )
    model.train(training)
    return PromptCache([cast(KeyValue, (layer.keys, layer.values)) for layer in cast(list[DynamicLayer], cache.layers)])
