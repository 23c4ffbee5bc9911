"""What a backbone's attention computes for a text."""

from __future__ import annotations

import torch
from torch import Tensor

from peft_cli.backbone.model import Backbone


@torch.no_grad()
def activations(backbone: Backbone, text: str, length: int) -> dict[str, Tensor]:
    """Keys and values that every attention module computes for `text`, repeated or cut to `length` tokens.

    By kind of attention (encoder, decoder, across): [layers, 2, heads, length, d_head]. An encoder and a decoder
    both read the text.
    """
    ids = backbone.encoder.ids(text)
    ids = torch.tensor([(ids * -(-length // len(ids)))[:length]], device=backbone.model.device)
    seen: dict[str, list[Tensor]] = {}
    for kind, attentions in backbone.attentions().items():
        for attention in attentions:
            attention.change(
                lambda k, v, kind=kind: (seen.setdefault(kind, []).append(torch.stack([k[0], v[0]])), k, v)[1:]
            )
    inputs = {"decoder_input_ids": ids} if backbone.config.is_encoder_decoder else {}
    inputs |= {"use_cache": False} if backbone.family.generates else {}
    backbone.model(input_ids=ids, **inputs)
    for attention in (attention for kind in backbone.attentions().values() for attention in kind):
        attention.restore()
    return {kind: torch.stack(layers).float() for kind, layers in seen.items()}
