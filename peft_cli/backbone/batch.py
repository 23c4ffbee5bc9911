"""Encoded examples to the padded tensors of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from peft_cli.backbone.families import Family
from peft_cli.backbone.prompt_cache import PromptCache

IGNORE = -100  # the label of a position that is not scored


@dataclass(frozen=True)
class Encoded:
    """One example as token ids. A decoder's `source` ends with the separator, one with a template before it.

    For a backbone with a head `target` is the index of a class, or the number that is to be predicted.
    """

    source: list[int]
    target: list[int] | int | float
    is_cut: bool  # whether the source lost its end
    is_target_cut: bool = False  # whether the target lost its end

    @property
    def n_targets(self) -> int:
        """How many predictions are scored: the tokens of the target, or one of a head."""
        return len(self.target) if isinstance(self.target, list) else 1

    @property
    def n_tokens(self) -> int:
        """The tokens of source and target."""
        return len(self.source) + self.n_targets


@dataclass(frozen=True)
class Batch:
    """The tensors of B rows on one device; what a family or a task has no use for is None."""

    attention_mask: Tensor  # [B, T], 1 where a row has a token and 0 where it is padded
    input_ids: Tensor | None = None  # [B, T]
    inputs_embeds: Tensor | None = None  # [B, T, d_model], in place of input_ids
    labels: Tensor | None = None  # token ids [B, T] or [B, T_target], IGNORE where none is scored; of a head [B]
    slots: Tensor | None = None  # [B, T], which slot of a template each token has
    label_vectors: Tensor | None = None  # [classes, d_model], in place of the words of the labels at a mask
    prompt: PromptCache | None = None  # keys and values that every row reads before its own
    hidden: Mapping[str, Tensor] = field(default_factory=dict)  # stack -> [B, T, d_model] at its first block that runs

    def __len__(self) -> int:
        """B."""
        return len(self.attention_mask)

    @property
    def ids(self) -> Tensor:
        """The token ids [B, T] of a batch that is not embedded."""
        return required(self.input_ids)

    @property
    def targets(self) -> Tensor:
        """The labels of a batch that was collated for training."""
        return required(self.labels)

    @property
    def embeds(self) -> Tensor:
        """The input embeddings [B, T, d_model] of an embedded batch."""
        return required(self.inputs_embeds)

    def with_(self, **changes: Any) -> Batch:
        """The same batch with other tensors in some fields."""
        return replace(self, **changes)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by the name of their field."""
        named = {own.name: getattr(self, own.name) for own in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def model_inputs(self) -> dict[str, Tensor]:
        """What a model reads of it: ids or embeddings, and the mask."""
        read = ("input_ids", "inputs_embeds", "attention_mask")
        return {name: tensor for name, tensor in self.tensors().items() if name in read}

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return self.with_(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


class HiddenStates(Protocol):
    """Cached hidden states of examples, as a backbone reads them; peft_cli/speed has the cache."""

    def covers(self, rows: Sequence[Encoded]) -> bool:
        """Whether all `rows` are cached."""

    def hidden(self, rows: Sequence[Encoded]) -> Mapping[str, Tensor]:
        """The states [B, T, d_model] of each stack."""

    def serve(self, hidden: Mapping[str, Tensor]) -> AbstractContextManager[dict[str, Any]]:
        """Has the model start from `hidden`; the context has more arguments for it."""


def required(tensor: Tensor | None) -> Tensor:
    """`tensor`; raises ValueError where a batch lacks it."""
    if tensor is None:
        raise ValueError("the batch lacks a tensor that this step reads; embed it first, or collate it for training")
    return tensor


def collate(rows: Sequence[Encoded], family: Family, pad: int, training: bool) -> Batch:
    """The batch of `rows`, with labels in training.

    Rows are padded on the right, where a decoder generates on the left. Labels go by length, never by the id of a pad
    token, so that an end token which also pads is learned.
    """
    sources = [row.source for row in rows]
    if not (family.is_decoder_only and training):
        ids, mask = pad_rows(sources, pad, left=family.is_decoder_only)
        return Batch(mask, ids, labels=collate_targets(rows) if training else None)
    targets = [row.target for row in rows if isinstance(row.target, list)]
    labels, _ = pad_rows([[IGNORE] * len(own) + target for own, target in zip(sources, targets, strict=True)], IGNORE)
    ids, mask = pad_rows([own + target for own, target in zip(sources, targets, strict=True)], pad)
    return Batch(mask, ids, labels=labels)


def collate_targets(rows: Sequence[Encoded]) -> Tensor:
    """The labels of an encoder: token ids [B, T_target] of its decoder, or a class or number [B] of its head."""
    targets = [row.target for row in rows if isinstance(row.target, list)]
    return pad_rows(targets, IGNORE)[0] if targets else torch.tensor([row.target for row in rows])


def pad_rows(rows: Sequence[list[int]], pad: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids [B, T] filled up with `pad`, and the mask [B, T], 1 where a row's own ids are."""
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    longest = int(lengths.max())
    index = torch.arange(longest)
    own = index >= longest - lengths if left else index < lengths
    ids = torch.full(own.shape, pad)
    ids[own] = torch.tensor([token for row in rows for token in row], dtype=ids.dtype)
    return ids, own.long()


def positions_of(mask: Tensor) -> Tensor:
    """The position [B, T] of each token in its own row; `mask` [B, T] is 1 where a row's own ids are."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def scored_index(targets: Tensor) -> Tensor:
    """The index [N] of each scored position of `targets` [B, T] in all rows, b T + t, in row order."""
    return (targets != IGNORE).flatten().nonzero().squeeze(-1)


def causal_targets(labels: Tensor) -> Tensor:
    """`labels` [B, T] moved by one: each where it is predicted from, and the last position predicts none."""
    return F.pad(labels[:, 1:], (0, 1), value=IGNORE)
