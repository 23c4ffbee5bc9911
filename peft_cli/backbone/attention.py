"""Attention for every family: over the keys and values that a method made of a module's own."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from peft_cli.backbone.hooks import UNCHANGED, AttentionHooks, Rows

IMPLEMENTATION = "peft_cli"  # the name under which transformers finds `attend`

# Arguments of attention that need no more: the mask holds a window, and the rest is for other implementations.
KNOWN_ARGUMENTS = frozenset(
    (
        "use_cache",
        "position_ids",
        "sliding_window",
        "deterministic",
        "encoder_hidden_states",
        "is_causal",
        "cache_position",
    )
)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention over the keys and values that a method made of them.

    Takes query [B, heads, T, d_head], key and value [B, kv_heads, T_kv, d_head]; returns [B, T, heads, d_head].
    Transformers calls it for every attention module of every family, with a mask that is added to the scores
    (https://huggingface.co/docs/transformers/attention_interface). `softcap` bounds the scores, `s_aux` [heads] are the
    logits of sinks. Raises ValueError for an argument that it does not know.
    """
    known: dict[Rows, AttentionHooks] = vars(module).get("peft_hooks", {})
    own = next((hooks for rows, hooks in known.items() if rows.are_all), UNCHANGED)
    score = Scoring(query.shape[-1] ** -0.5 if scaling is None else scaling, dropout, softcap, s_aux)
    biases = bias_terms(own, key, attention_mask, position_bias, more)
    return weighted_values(query, read_kv(own, query, key, value), biases, score), None


class Scoring(NamedTuple):
    """How attention turns products of queries and keys into weights."""

    scaling: float
    dropout: float
    softcap: float | None = None
    sinks: Tensor | None = None  # [heads], logits that take weight and have no value

    def weigh(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """The weighted values [B, heads, T, d_head]."""
        if self.softcap is None and self.sinks is None:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, dropout_p=self.dropout, scale=self.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )  # fmt: skip
        key, value = (states.repeat_interleave(query.shape[1] // states.shape[1], dim=1) for states in (key, value))
        scores = self.scaling * query @ key.transpose(-1, -2)
        scores = scores if self.softcap is None else self.softcap * torch.tanh(scores / self.softcap)
        scores = scores if bias is None else scores + bias
        if self.sinks is not None:
            sinks = self.sinks.to(scores.dtype).view(1, -1, 1, 1).expand(len(scores), -1, scores.shape[2], 1)
            scores = torch.cat([scores, sinks], -1)
        weights = scores.float().softmax(-1).to(value.dtype)[..., : key.shape[2]]
        return F.dropout(weights, self.dropout, self.dropout > 0) @ value


def bias_terms(
    own: AttentionHooks, key: Tensor, mask: Tensor | None, position_bias: Tensor | None, more: dict[str, Any]
) -> list[Tensor]:
    """What is added to the scores: the mask, the positions' bias, and the window of a prompt in front.

    Raises ValueError for an argument in `more` that attention here does not know.
    """
    if unknown := [name for name, value in more.items() if name not in KNOWN_ARGUMENTS and value is not None]:
        raise ValueError(f"the backbone's attention has an argument {unknown[0]!r}, which this package does not know")
    biases = [b for b in (mask, position_bias) if b is not None]
    window, positions = more.get("sliding_window"), more.get("position_ids")
    if own.prompt is not None and window and positions is not None:
        length, dtype = own.prompt[0].shape[2], key.dtype
        is_far = positions[:, None, :, None] - torch.arange(length, device=key.device) >= window  # [B, 1, T, P]
        far = torch.zeros(is_far.shape, dtype=dtype, device=key.device).masked_fill(is_far, torch.finfo(dtype).min)
        biases.append(F.pad(far, (0, key.shape[2])))
    return biases


class Read(NamedTuple):
    """What rows read: key and value [b, kv_heads, front + T, d_head], and how they read the first `front` positions."""

    key: Tensor
    value: Tensor
    front: int
    visible: Tensor | None  # [b, T_query], true where a query sees them
    gate: Tensor | None  # [b, T_query], their factor


def read_kv(own: AttentionHooks, query: Tensor, key: Tensor, value: Tensor) -> Read:
    """What rows read under the hooks `own`."""
    if own.prompt is not None:
        prompt = [p.expand(len(key), -1, -1, -1) for p in own.prompt]
        key, value = (torch.cat(pair, dim=2) for pair in zip(prompt, (key, value), strict=True))
    length = key.shape[2]
    if own.change_kv is not None:
        key, value = own.change_kv(key, value)
    visible = None if own.visible is None else own.visible(query.shape[0], query.shape[2])
    return Read(key, value, key.shape[2] - length, visible, None if own.gate is None else own.gate())


def weighted_values(query: Tensor, read: Read, biases: list[Tensor], score: Scoring) -> Tensor:
    """Attention [b, T, heads, d_head]; a bias that is shorter than the keys is for the last of them."""
    key, value, front, visible, gate = read
    biases = [F.pad(b, (key.shape[2] - b.shape[-1], 0)) for b in biases]
    if visible is not None:
        biases.append(front_bias(visible, front, key.shape[2] - front, query.dtype))
    if gate is not None:
        gate = gate[:, None, :, None].to(query.dtype)
        query = torch.cat([query, gate * query], -1)
        key, value = split_gated_kv(key, front), split_gated_kv(value, front)
    out = score.weigh(query, key, value, reduce(torch.add, biases) if biases else None)
    if gate is not None:
        own, added = out.chunk(2, -1)
        out = own + gate * added
    return out.transpose(1, 2)


def front_bias(visible: Tensor, front: int, behind: int, dtype: torch.dtype) -> Tensor:
    """A bias [B, 1, T, front + behind] that hides the first `front` keys where `visible` [B, T] is false."""
    hidden = torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    return F.pad(hidden[:, None, :, None].expand(-1, -1, -1, front), (0, behind))


def split_gated_kv(states: Tensor, front: int) -> Tensor:
    """Keys or values [..., T, d_head] as [..., T, 2 d_head]: the first `front` in half two, the rest in half one.

    The product with [q; g q] is then q k for the rest and g q k for those in front, so that each query has its own g.
    """
    is_front = torch.arange(states.shape[-2], device=states.device).unsqueeze(-1) < front
    return torch.cat([states.masked_fill(is_front, 0), states.masked_fill(~is_front, 0)], -1)


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
