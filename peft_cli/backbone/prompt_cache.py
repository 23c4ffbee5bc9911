"""The prompts of a decoder: run through its blocks once, for all rows that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from peft_cli.backbone.model import Backbone

Prompt = list[list[Tensor]]  # key and value [1, heads, P, d_head] of each attention module


def prompted(vectors: Mapping[Backbone, Tensor]) -> dict[Backbone, Prompt]:
    """The prompt of each owner of rows for its `vectors` [P, d_model]; those of one length take one pass.

    Without gradients an owner keeps its prompt for the next call with the same vectors, until `predict` begins anew.
    """
    trains = torch.is_grad_enabled()
    prompts = {} if trains else {owner: owner.kept[1] for owner, own in vectors.items() if has_kept(owner, own)}
    for length in {len(own) for own in vectors.values()}:
        fresh = {owner: own for owner, own in vectors.items() if len(own) == length and owner not in prompts}
        prompts |= run(fresh) if fresh else {}
    for owner, prompt in prompts.items():
        owner.kept = None if trains else (vectors[owner].clone(), prompt)
    return prompts


def has_kept(owner: Backbone, vectors: Tensor) -> bool:
    """Whether what an owner keeps is the prompt of `vectors`."""
    return owner.kept is not None and torch.equal(owner.kept[0], vectors)


def run(vectors: Mapping[Backbone, Tensor]) -> dict[Backbone, Prompt]:
    """The prompts of owners whose `vectors` [P, d_model] are of one length, from one pass."""
    first, *_ = vectors
    prompts: dict[Backbone, Prompt] = {owner: [[] for _ in owner.readers] for owner in vectors}
    first.shares.give(*((owner, 1) for owner in vectors))
    for owner, prompt in prompts.items():
        owner.lead(prompt)
    rows = torch.stack(list(vectors.values()))  # [owners, P, d_model]
    places = torch.arange(rows.shape[1], device=rows.device)
    positions = torch.stack([places + owner.shift for owner in vectors])
    mask = torch.ones_like(positions)  # without one, transformers asks the device whether texts are packed
    model, training = first.model, first.model.training
    first.shares.is_leading = True
    if training:
        model.eval()
    model.base_model(inputs_embeds=rows, attention_mask=mask, position_ids=positions, use_cache=False)
    if training:
        model.train()
    first.shares.is_leading = False
    return prompts
