"""Examples to token ids, and token ids to the tensors of a batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peft_cli.backbone.families import Family
from peft_cli.backbone.targets import IGNORE
from peft_cli.data import Example

if TYPE_CHECKING:
    from peft_cli.backbone.templates import Hypotheses


@dataclass(frozen=True)
class Encoded:
    """One example as ids. A decoder's `source` ends with the separator, and one that has hypotheses before them.

    For a backbone with a head `target` is the number of a class, or the number itself that is to be predicted.
    """

    source: list[int]
    target: list[int] | int | float
    is_cut: bool  # whether the source lost its end
    is_target_cut: bool = False  # whether the target lost its end


class Encoder:
    """Turns examples into ids; source and target apart, so that no token spans the seam between them."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        family: Family,
        separator: str | None,
        max_source_tokens: int,
        max_target_tokens: int,
        labels: Sequence[str] = (),
        is_number: bool = False,
        hypotheses: Hypotheses | None = None,
    ):
        if separator is not None and not family.is_decoder_only:
            raise ValueError(f"backbone.separator={separator!r} is for decoders; an encoder reads its source alone")
        self.tokenizer, self.family, self.labels, self.is_number = tokenizer, family, tuple(labels), is_number
        self.max_source_tokens, self.max_target_tokens = max_source_tokens, max_target_tokens
        self.hypotheses = hypotheses
        self.known: dict[tuple[Example, int], Encoded] = {}  # what was tokenised, by the limit that it was cut to
        self.start, self.end = [], []
        if family.is_decoder_only:
            self.start = [tokenizer.bos_token_id] if family.starts_with_bos else []
            self.end = self.ids(family.separator if separator is None else separator)

    def another(self) -> Encoder:
        """One that does the same, until a method changes what it does."""
        other = copy.copy(self)
        other.hypotheses = copy.copy(self.hypotheses)
        return other

    def ids(self, text: str) -> list[int]:
        """The ids of `text`, with nothing added."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def __call__(self, example: Example) -> Encoded:
        """The ids of one example, tokenised when it is first asked for; the target is its first reference."""
        key = (example, self.max_source_tokens - (self.hypotheses.length if self.hypotheses else 0))
        if key not in self.known:
            source, is_cut = self.source(example.source)
            target, is_target_cut = self.target(example.references[0])
            self.known[key] = Encoded(source, target, is_cut, is_target_cut)
        return self.known[key]

    def candidates(self, row: Encoded) -> list[Encoded]:
        """`row` once for each class, with the class's text as its target."""
        return [replace(row, target=target) for target in self.class_targets]

    @cached_property
    def class_targets(self) -> list[list[int]]:
        """The ids of each class's text."""
        return [self.target(label)[0] for label in self.labels]

    def source(self, text: str) -> tuple[list[int], bool]:
        """The ids of a source, and whether its end was cut off to keep to `max_source_tokens`."""
        ids = self.ids(text)
        if self.hypotheses:
            return self.hypotheses.source(ids, self.max_source_tokens)
        if self.family.is_decoder_only:
            kept = ids[: self.max_source_tokens - len(self.start) - len(self.end)]
            return [*self.start, *kept, *self.end], len(kept) < len(ids)
        whole = len(ids) + self.tokenizer.num_special_tokens_to_add()
        return self.with_special_tokens(text, self.max_source_tokens), whole > self.max_source_tokens

    def target(self, text: str) -> tuple[list[int] | int | float, bool]:
        """The ids of a target with its end token, a class's number, or a number; and whether its end was cut off."""
        if self.labels and text not in self.labels:
            raise ValueError(f"the target {text!r} is none of the classes {', '.join(self.labels)}")
        if not self.family.generates:
            return (float(text) if self.is_number else self.labels.index(text)), False
        text = rounded(text) if self.is_number else text
        if self.family.is_decoder_only:
            ids = self.ids(" " + text)
            return [*ids[: self.max_target_tokens - 1], self.tokenizer.eos_token_id], len(ids) >= self.max_target_tokens
        whole = len(self.ids(text)) + self.tokenizer.num_special_tokens_to_add()
        return self.with_special_tokens(text, self.max_target_tokens), whole > self.max_target_tokens

    def with_special_tokens(self, text: str, most: int) -> list[int]:
        """At most `most` ids: those of `text`, cut at its end, between the tokens that the family puts around it."""
        return self.tokenizer(text, truncation=True, max_length=most)["input_ids"]


def rounded(number: str) -> str:
    """A number as T5 writes it: to the nearest 0.2, with one decimal (Raffel et al., 2020)."""
    return f"{round(float(number) * 5) / 5:.1f}"


def collate(rows: Sequence[Encoded], family: Family, pad: int, training: bool) -> dict[str, Tensor]:
    """input_ids and attention_mask [B, T], and with `training` labels: [B, T], [B, T_target], or [B] for a head.

    Rows are padded on the right, where a decoder generates on the left. A label that is not scored is IGNORE; labels
    are told by length, never by the id of a pad token, so that an end token which also pads is learned.
    """
    sources = [row.source for row in rows]
    has_head = isinstance(rows[0].target, int | float)
    if has_head or not family.is_decoder_only:
        batch = pad_rows(sources, pad)
        if training and has_head:
            batch["labels"] = torch.tensor([row.target for row in rows])
        elif training:
            batch["labels"] = pad_rows([row.target for row in rows], IGNORE)["input_ids"]
        return batch
    if not training:
        return pad_rows(sources, pad, left=True)
    batch = pad_rows([row.source + row.target for row in rows], pad)
    batch["labels"] = pad_rows([[IGNORE] * len(row.source) + row.target for row in rows], IGNORE)["input_ids"]
    return batch


def pad_rows(rows: Sequence[list[int]], pad: int, left: bool = False) -> dict[str, Tensor]:
    """input_ids [B, T], filled up with `pad`, and attention_mask [B, T], 1 where a row's own ids stand."""
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    longest = int(lengths.max())
    places = torch.arange(longest)
    own = places >= longest - lengths if left else places < lengths
    ids = torch.full(own.shape, pad)
    ids[own] = torch.tensor([token for row in rows for token in row], dtype=ids.dtype)
    return {"input_ids": ids, "attention_mask": own.long()}


def positions_of(mask: Tensor) -> Tensor:
    """The position [B, T] of each token in its own row; `mask` [B, T] is 1 where a row's own ids stand."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
