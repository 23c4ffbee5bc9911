"""Examples to token ids; source and target apart, so that no token spans the seam between them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from peft_cli.backbone.batch import Batch, Encoded
from peft_cli.backbone.families import Family
from peft_cli.data import Example


class Form(Protocol):
    """How an encoder is asked for a class other than by a new head; `peft_cli.forms` has the forms."""

    name: str

    @property
    def length(self) -> int:
        """The tokens of an input that are not the source's."""

    def encode_source(self, ids: list[int], most: int) -> tuple[list[int], bool]:
        """The start of an input of at most `most` tokens, and whether the end of the source `ids` was cut."""

    def collate(self, rows: Sequence[Encoded], pad: int, training: bool) -> Batch:
        """The batch of `rows`."""

    def forward_logits(self, backbone: Any, batch: Batch) -> Tensor:
        """The logits [B, classes] for a batch."""

    def class_logits(self, logits: Tensor, config: PretrainedConfig) -> Tensor:
        """[B, classes] from the logits of a head."""


class Encoder:
    """Encodes examples for one family: sources of at most `max_source_tokens`, targets of `max_target_tokens`."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        family: Family,
        separator: str | None,
        max_source_tokens: int,
        max_target_tokens: int,
        labels: Sequence[str] = (),
        is_number: bool = False,
        form: Form | None = None,
    ):
        if separator is not None and not family.is_decoder_only:
            raise ValueError(f"backbone.separator={separator!r} is for decoders; an encoder reads its source alone")
        if family.generates and tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer of the backbone has no end token (eos_token), so no text could end")
        self.tokenizer, self.family, self.labels, self.is_number = tokenizer, family, tuple(labels), is_number
        self.max_source_tokens, self.max_target_tokens = max_source_tokens, max_target_tokens
        self.form = form
        self.cache: dict[tuple[Example, int], Encoded] = {}  # by the example and the limit that its source was cut to
        tokenizer.truncation_side = "right"  # a checkpoint may cut the beginning
        first = tokenizer("")["input_ids"][:1] if family.is_decoder_only and tokenizer.bos_token_id is not None else []
        self.start: list[int] = first if first == [tokenizer.bos_token_id] else []  # as pretraining began its texts
        given = family.separator if separator is None else separator
        self.end = self.ids(given or "") if family.is_decoder_only else []

    def copy(self) -> Encoder:
        """An encoder with equal settings, whose form and limits can be changed apart."""
        other = copy.copy(self)
        other.form = copy.copy(self.form)
        return other

    def ids(self, text: str) -> list[int]:
        """The ids of `text`, without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def __call__(self, example: Example) -> Encoded:
        """The ids of one example, tokenised once; the target is its first reference."""
        key = (example, self.max_source_tokens - (self.form.length if self.form else 0))
        if key not in self.cache:
            source, is_cut = self.encode_source(example.source)
            target, is_target_cut = self.encode_target(example.references[0])
            self.cache[key] = Encoded(source, target, is_cut, is_target_cut)
        return self.cache[key]

    def candidates(self, row: Encoded) -> list[Encoded]:
        """`row` once for each class, with the class's text as its target."""
        return [replace(row, target=target) for target in self.class_targets]

    @cached_property
    def class_targets(self) -> list[list[int] | int | float]:
        """The encoded text of each class."""
        return [self.encode_target(label)[0] for label in self.labels]

    def encode_source(self, text: str) -> tuple[list[int], bool]:
        """The ids of a source, and whether its end was cut off to keep to `max_source_tokens`."""
        ids = self.ids(text)
        if self.form:
            return self.form.encode_source(ids, self.max_source_tokens)
        if self.family.is_decoder_only:
            kept = ids[: self.max_source_tokens - len(self.start) - len(self.end)]
            return [*self.start, *kept, *self.end], len(kept) < len(ids)
        whole = len(ids) + self.tokenizer.num_special_tokens_to_add()
        return self.with_special_tokens(text, self.max_source_tokens), whole > self.max_source_tokens

    def encode_target(self, text: str) -> tuple[list[int] | int | float, bool]:
        """The ids of a target with its end token, a class's index, or a number; and whether its end was cut off."""
        if self.labels and text not in self.labels:
            raise ValueError(f"the target {text!r} is none of the classes {', '.join(self.labels)}")
        if not self.family.generates:
            return (float(text) if self.is_number else self.labels.index(text)), False
        text = round_number(text) if self.is_number else text
        end: int = self.tokenizer.eos_token_id
        if self.family.is_decoder_only:
            ids = self.ids(" " + text)
        else:  # one more than fits, so that a cut shows; the end token that the tokenizer adds, or not, comes below
            ids = self.with_special_tokens(text, self.max_target_tokens + 1)
            ids = ids[:-1] if ids[-1:] == [end] else ids
        return [*ids[: self.max_target_tokens - 1], end], len(ids) >= self.max_target_tokens

    def with_special_tokens(self, text: str, most: int) -> list[int]:
        """At most `most` ids: those of `text`, cut at its end, between the tokens that the family puts around it."""
        return self.tokenizer(text, truncation=True, max_length=most)["input_ids"]


def round_number(number: str) -> str:
    """A number as T5 writes it: to the nearest 0.2, with one decimal (Raffel et al., 2020)."""
    return f"{round(float(number) * 5) / 5:.1f}"
