"""Several backbones on one model, each with a method of its own that acts on its own rows of a batch.

Every hook acts on the rows of its backbone (`Backbone.rows`); here they are given to the backbones of a pass, and
attention reads each segment of rows under the hooks of its backbone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import Scoring, attend, bias_terms, read_kv, weighted_values
from peft_cli.backbone.hooks import UNCHANGED, AttentionHooks, Rows, attention_hooks
from peft_cli.backbone.new_head import new_head
from peft_cli.backbone.prompt_cache import PromptCache
from peft_cli.backbone.tokenization import Encoder

IMPLEMENTATION = "peft_cli_shared"  # the name under which transformers finds `attend_segments`


def share_weights(backbone: Backbone, encoder: Encoder | None = None) -> Backbone:
    """Another backbone of the same weights: what a method does to it happens to its own rows of a batch alone.

    It encodes examples with `encoder`, by default as `backbone` did at first. A task with a new head of classes gets a
    head of its own, with random weights; entailment is read off the model's NLI head.
    """
    other = copy.copy(backbone)
    other.rows, other.own_head = Rows(), None
    other.siblings.append(other)
    other.reset_state(encoder or backbone.encoder_at_first.copy())
    if other.form == "entailment" != backbone.form:
        raise ValueError("the model has no NLI head for backbone.form=entailment; load it for such a task first")
    other.has_new_head = other.form == "classes"
    if other.has_new_head and (classifier := backbone.classifier()):
        name = classifier[0][0].partition(".")[0]
        head, rows, shared = (
            new_head(backbone.model, name, other.n_outputs),
            other.rows,
            backbone.model.get_submodule(name),
        )
        other.own_head = name, head

        def use_own(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            return head.train(module.training)(args[0]) if rows.are_all else output  # else `head_logits` does

        shared.register_forward_hook(use_own)
    if backbone.family.attentions:
        backbone.model.set_attn_implementation(IMPLEMENTATION)
    return other


def set_row_owners(segments: Sequence[tuple[Backbone, int, PromptCache | None]]) -> None:
    """Gives the rows of the next passes to backbones of one model: n adjacent rows to each, which read its prompt."""
    first, total, start = segments[0][0], sum(n for _, n, _ in segments), 0
    first.masters.round_into_model()
    for backbone in first.siblings:
        backbone.rows.set(0, 0, 1)
    for backbone, n_rows, prompt in segments:
        backbone.rows.set(start, start + n_rows, total)
        backbone.set_prompt(prompt)
        start += n_rows


def head_logits(parts: Sequence[tuple[Backbone, int]], inputs: dict[str, Tensor]) -> list[Tensor]:
    """The logits [B, classes] of each part's own head, from one pass of the model below the heads."""
    first, entered = parts[0][0], list[Tensor]()
    name = first.classifier()[0][0].partition(".")[0]
    shared = first.model.get_submodule(name)
    handle = shared.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        first.model(**inputs)
    finally:
        handle.remove()
    hidden = entered[0].split([n_rows for _, n_rows in parts])
    heads = [shared if owner.own_head is None else owner.own_head[1] for owner, _ in parts]
    return [owner.class_logits(head(own)) for (owner, _), head, own in zip(parts, heads, hidden, strict=True)]


def attend_segments(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, position_bias: Tensor | None = None,
    softcap: float | None = None, s_aux: Tensor | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """`peft_cli.backbone.hooks.attend` where each segment of rows is read under the hooks of its own backbone."""
    segments = row_segments(attention_hooks(module), len(query))
    if len(segments) == 1:
        return attend(
            module, query, key, value, attention_mask, scaling, dropout, position_bias, softcap, s_aux, **more
        )
    score = Scoring(query.shape[-1] ** -0.5 if scaling is None else scaling, dropout, softcap, s_aux)
    outputs = []
    for own, rows in segments:
        read = read_kv(own, *(states[rows] for states in (query, key, value)))
        mask, bias = (b if b is None or len(b) == 1 else b[rows] for b in (attention_mask, position_bias))
        positions = more.get("position_ids")
        own_more = more if positions is None or len(positions) == 1 else more | {"position_ids": positions[rows]}
        biases = bias_terms(own, key[rows], mask, bias, own_more)
        outputs.append(weighted_values(query[rows], read, biases, score))
    return torch.cat(outputs), None


def row_segments(known: dict[Rows, AttentionHooks], n_rows: int) -> list[tuple[AttentionHooks, slice]]:
    """The hooks that act on each segment of `n_rows`, and its place; neighbours without hooks are one segment."""
    owned = [(rows.of(n_rows), hooks) for rows, hooks in known.items()]
    changed = [(own, hooks) for own, hooks in owned if own.stop > own.start and (hooks.change_kv or hooks.prompt)]
    segments, end = list[tuple[AttentionHooks, slice]](), 0
    for own, hooks in sorted(changed, key=lambda pair: pair[0].start):
        if own.start > end:
            segments.append((UNCHANGED, slice(end, own.start)))
        segments.append((hooks, own))
        end = own.stop
    return [*segments, (UNCHANGED, slice(end, n_rows))] if end < n_rows else segments


AttentionInterface.register(IMPLEMENTATION, attend_segments)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
