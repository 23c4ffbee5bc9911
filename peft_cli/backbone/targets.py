"""Logits where a token is to be predicted, and nowhere else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

IGNORE = -100  # the label of a position that is not scored


def logits_at(model: PreTrainedModel, inputs: dict[str, Tensor], places: Tensor) -> Tensor:
    """The logits [N, V] of `model` at `places` [N], which count the positions of all rows: b T + t.

    The vocabulary product runs on those N rows only: a hook picks them out of what enters the output embedding.
    """

    def pick(module: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0].flatten(0, 1)[places],)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits.view(-1, logits.shape[-1])


def causal_targets(labels: Tensor) -> Tensor:
    """`labels` [B, T] moved by one: each stands where it is predicted from, and the last position predicts none."""
    return F.pad(labels[:, 1:], (0, 1), value=IGNORE)


def places_of(targets: Tensor, most: int | None = None) -> Tensor:
    """The places [N] of `targets` [B, T] that are scored, in row order.

    With `most` there are always so many, the first of them scored: their number is known without asking the device.
    """
    is_scored = (targets != IGNORE).flatten()
    if most is None:
        return is_scored.nonzero().squeeze(-1)
    return is_scored.int().sort(stable=True, descending=True).indices[:most]
