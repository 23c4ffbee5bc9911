"""Templates that ask an encoder for a class in words, where no new head of the classes answers.

    entailment   <s> x </s></s> h_c </s>     does the hypothesis h_c, "it was great.", follow from x? An input for each
                                             class; with two classes, one for the second
    mask         <s> x it was <mask>. </s>   which class's word fills the mask? One input

A token of a template has a slot: its number among the template's own tokens (those that every hypothesis has), and the
labels' tokens after them. By its slot a method can put a vector of its own in a token's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from peft_cli.backbone import Backbone, Batch, Encoded
from peft_cli.backbone.batch import collate_targets, pad_rows, required
from peft_cli.data import Hypothesis
from peft_cli.forms.heads import entailment_logits, mask_logits, words_head

NO_SLOT, AT_MASK = -1, -2  # slots of a token of no template, and of the mask
LEAST_SOURCE = 8  # tokens of a source that a template has to leave room for


def build_form(hypothesis: Hypothesis | None, name: str, tokenizer: PreTrainedTokenizerBase) -> Templates:
    """The form `name` (entailment or mask) with the words of a data set.

    Raises ValueError where the data set has none, or the tokenizer no mask.
    """
    forms: dict[str, type[Templates]] = {"entailment": Entailment, "mask": Mask}
    return forms[name](hypothesis, tokenizer)


class Templates:
    """The hypotheses of a data set as ids, with slots; a `peft_cli.backbone.tokenization.Form`."""

    name: str
    joint: list[int]  # between the source and the hypothesis

    def __init__(self, hypothesis: Hypothesis | None, tokenizer: PreTrainedTokenizerBase):
        if hypothesis is None:
            raise ValueError(
                f"backbone.form={self.name} needs a sentence about each class, and the data set has none; "
                "give data.hypothesis, such as 'It was {label}.', and data.words, such as [terrible, great]"
            )
        self.tokenizer = tokenizer
        before, _, after = hypothesis.text.partition("{label}")
        self.before = self.ids(self.glue + before.strip()) if before.strip() else []
        self.after = self.ids(after.rstrip()) if after.strip() else []
        self.labels = [self.ids(f" {words}") for words in hypothesis.words]
        self.start, self.end = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        self.prepare()
        self.build_templates(0, 0)

    glue = ""  # in front of the hypothesis

    def prepare(self) -> None:
        """Sets what depends on the form."""
        raise NotImplementedError

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
        raise NotImplementedError

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

    def forward_logits(self, backbone: Backbone, batch: Batch) -> Tensor:
        """The logits [B, classes] for a batch of inputs."""
        raise NotImplementedError

    def class_logits(self, logits: Tensor, config: PretrainedConfig) -> Tensor:
        """[B, classes] from the logits of a head."""
        raise NotImplementedError


class Entailment(Templates):
    """One input for each class, or for the second of two; an NLI head answers."""

    name = "entailment"

    def prepare(self) -> None:
        """Sets the segments' joint, and leaves the first of two labels out."""
        self.joint = [self.tokenizer.eos_token_id] * 2
        self.labels = self.labels[1:] if len(self.labels) == 2 else self.labels

    def label_inputs(self) -> list[tuple[list[int], list[int]]]:
        """Ids and slots in the label's place of each input."""
        return [(label, self.label_slots(i)) for i, label in enumerate(self.labels)]

    def forward_logits(self, backbone: Backbone, batch: Batch) -> Tensor:
        """The log-odds of entailment [B, classes]."""
        return backbone.class_logits(backbone.model(**batch.model_inputs()).logits)

    def class_logits(self, logits: Tensor, config: PretrainedConfig) -> Tensor:
        """[B, classes] from the logits [B H, n] of an NLI head for H inputs of each row."""
        return entailment_logits(logits, len(self.inputs), config)


class Mask(Templates):
    """One input with a mask; the head that predicts words answers."""

    name = "mask"
    glue = " "  # the hypothesis goes on with the source's segment

    def prepare(self) -> None:
        """Leaves no joint; raises ValueError for a tokenizer without a mask."""
        if self.tokenizer.mask_token_id is None:
            raise ValueError("backbone.form=mask needs a tokenizer with a mask token, and this one has none")
        self.joint = []

    def label_inputs(self) -> list[tuple[list[int], list[int]]]:
        """The mask in the label's place."""
        return [([self.tokenizer.mask_token_id], [AT_MASK])]

    def forward_logits(self, backbone: Backbone, batch: Batch) -> Tensor:
        """The logits of the labels' words [B, classes] at the mask."""
        hidden, slots = backbone.model.base_model(**batch.model_inputs()).last_hidden_state, required(batch.slots)
        at_mask = hidden[:, hidden.shape[1] - slots.shape[1] :][slots == AT_MASK]  # behind a prompt
        ids = [torch.tensor(label) for label in self.labels]
        return mask_logits(backbone.model, words_head(backbone), at_mask, ids, batch.label_vectors)

    def class_logits(self, logits: Tensor, config: PretrainedConfig) -> Tensor:
        """`logits` [B, classes] as they are."""
        return logits


def templates_of(backbone: Backbone) -> Templates:
    """The templates of a backbone that is asked in words; raises ValueError where a head of classes answers."""
    form = backbone.encoder.form
    if not isinstance(form, Templates):
        raise ValueError(f"{backbone.config.model_type} is asked by a head of classes here and has no templates")
    return form
