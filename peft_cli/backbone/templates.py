"""Templates that ask an encoder for a class in words, where no new head of the classes answers.

    entailment   <s> x </s></s> h_c </s>     does the hypothesis h_c, "it was great.", follow from x? An input for each
                                             class; with two classes, one for the second
    mask         <s> x it was <mask>. </s>   which class's word fills the mask? One input

A token of a template has a slot: its number among the template's own tokens (those that every hypothesis has), and the
labels' tokens after them. By its slot a method can put a vector of its own in a token's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from peft_cli.backbone.batch import Batch, Encoded, collate_targets, pad_rows
from peft_cli.data import Data, Hypothesis

NO_SLOT, AT_MASK = -1, -2  # slots of a token of no template, and of the mask
LEAST_SOURCE = 8  # tokens of a source that a template has to leave room for


def task_kwargs(data: Data, form: str) -> dict[str, Any]:
    """What a backbone is loaded with for a task: its classes, or that it is a number, and the form of the method."""
    kind = {"labels": data.labels, "is_number": data.scale is not None}
    return kind | {"hypothesis": data.hypothesis, "method_form": form}


class Templates:
    """The hypotheses of a data set as ids, with slots."""

    def __init__(
        self, form: Literal["entailment", "mask"], hypothesis: Hypothesis | None, tokenizer: PreTrainedTokenizerBase
    ):
        if hypothesis is None:
            raise ValueError(
                f"backbone.form={form} needs a sentence about each class, and the data set has none; "
                "give data.hypothesis, such as 'It was {label}.', and data.words, such as [terrible, great]"
            )
        if form == "mask" and tokenizer.mask_token_id is None:
            raise ValueError("backbone.form=mask needs a tokenizer with a mask token, and this one has none")
        self.form, self.tokenizer = form, tokenizer
        before, _, after = hypothesis.text.partition("{label}")
        glue = " " if form == "mask" else ""  # at a mask the hypothesis goes on with the source's segment
        self.before = self.ids(glue + before.strip()) if before.strip() else []
        self.after = self.ids(after.rstrip()) if after.strip() else []
        labels = [self.ids(f" {words}") for words in hypothesis.words]
        self.labels = labels[1:] if form == "entailment" and len(labels) == 2 else labels  # those with an input
        self.start, self.end = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        self.joint = [] if form == "mask" else [tokenizer.eos_token_id] * 2
        self.build_templates(0, 0)

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def build_templates(self, front: int, behind: int) -> None:
        """Builds the inputs with `front` trained tokens before the hypothesis and `behind` of them after its label."""
        lengths = (front, len(self.before), behind, len(self.after))
        slots = iter(range(sum(lengths)))
        parts = [[next(slots) for _ in range(n)] for n in lengths]
        unread = [self.tokenizer.eos_token_id]  # an id in the place of a token that has none
        self.template: list[int | None] = [*[None] * front, *self.before, *[None] * behind, *self.after]  # ids by slot
        self.inputs: list[tuple[list[int], list[int]]] = []  # ids and slots of each hypothesis
        for label, label_slots in self.label_inputs():
            ids = unread * front + self.before + label + unread * behind + self.after
            self.inputs.append((ids, parts[0] + parts[1] + label_slots + parts[2] + parts[3]))

    def label_inputs(self) -> list[tuple[list[int], list[int]]]:
        """Ids and slots in the label's place of each input."""
        if self.form == "mask":
            return [([self.tokenizer.mask_token_id], [AT_MASK])]
        return [(label, self.label_slots(i)) for i, label in enumerate(self.labels)]

    def label_slots(self, i: int) -> list[int]:
        """The slots of the tokens of label `i`."""
        start = len(self.template) + sum(map(len, self.labels[:i]))
        return list(range(start, start + len(self.labels[i])))

    @property
    def length(self) -> int:
        """The tokens of an input that are not the source's."""
        return len(self.start + self.joint + self.end) + max(len(ids) for ids, _ in self.inputs)

    def encode_source(self, ids: list[int], most: int) -> tuple[list[int], bool]:
        """The start of an input of at most `most` tokens, up to its template; and whether the source's end was cut."""
        room = most - self.length
        if room < LEAST_SOURCE:
            raise ValueError(
                f"backbone.max_source_tokens={most} leaves {room} tokens for a source beside a hypothesis of "
                f"{self.length}; it has to leave {LEAST_SOURCE}"
            )
        return [*self.start, *ids[:room], *self.joint], room < len(ids)

    def collate(self, rows: Sequence[Encoded], pad: int, training: bool) -> Batch:
        """The batch of [B H, T] for H inputs of each row, with slots; in training, with labels [B]."""
        sequences = [
            (row.source + ids + self.end, len(row.source), slots) for row in rows for ids, slots in self.inputs
        ]
        slots = [[NO_SLOT] * n + slots + [NO_SLOT] for _, n, slots in sequences]
        input_ids, mask = pad_rows([ids for ids, _, _ in sequences], pad)
        labels = collate_targets(rows) if training else None
        return Batch(mask, input_ids, labels=labels, slots=pad_rows(slots, NO_SLOT)[0])

    def label_ids(self) -> list[torch.Tensor]:
        """The token ids [n] of each label."""
        return [torch.tensor(label) for label in self.labels]
