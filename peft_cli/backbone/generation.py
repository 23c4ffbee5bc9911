"""Generation: a decoder's source is read once, whatever the number of beams."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from peft_cli.backbone.batch import positions_of


def cache_sources(
    model: PreTrainedModel, inputs: dict[str, Tensor], options: dict[str, Any]
) -> dict[str, DynamicCache]:
    """A decoder's cache of all but the last of `inputs_embeds` [B, T, d_model] for every beam, from one pass of B rows.

    `generate` would read each row once for each of its beams. Nothing where `options` have no beams, or no cache.
    """
    beams, length = options.get("num_beams", 1), inputs["inputs_embeds"].shape[1]
    if beams == 1 or length == 1 or not options.get("use_cache", True):
        return {}
    cache = DynamicCache()  # all tokens of every layer: one that reads a window could not be cropped
    positions = positions_of(inputs["attention_mask"])
    model(**inputs, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.crop(-1)  # generation begins with the last token
    cache.batch_repeat_interleave(beams)
    return {"past_key_values": cache}
