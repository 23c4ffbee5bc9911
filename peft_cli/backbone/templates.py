"""How an encoder is asked for a class, where it is not a new head of the classes that answers.

    entailment   <s> x </s></s> h_c </s>     does the hypothesis h_c, "it was great.", follow from x? An input for each
                                             class; with two classes, one for the second
    mask         <s> x it was <mask>. </s>   which class's word stands at the mask? One input

A token of a hypothesis has a slot: its number among the tokens of the template (those that every hypothesis has) and
the labels' tokens behind them. By its slot a method can put a vector of its own in a token's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from peft_cli.backbone.tokenization import Encoded, pad_rows
from peft_cli.data import Data, Hypothesis

if TYPE_CHECKING:
    from peft_cli.backbone.model import Backbone

NO_SLOT, AT_MASK = -1, -2  # slots of what is no token of a hypothesis, and of the mask
LEAST_SOURCE = 8  # tokens of a source that a hypothesis has to leave room for


def asked_of(data: Data, form: str) -> dict[str, Any]:
    """What a backbone is told of a task: its classes, or that it is a number, and how a method's `form` asks for it."""
    kind = {"labels": data.labels, "is_number": data.scale is not None}
    return kind | {"hypothesis": data.hypothesis, "method_form": form}


class Hypotheses:
    """The hypotheses of a data set as ids, with slots, and what the backbone says of them."""

    def __init__(
        self, form: Literal["entailment", "mask"], hypothesis: Hypothesis | None, tokenizer: PreTrainedTokenizerBase
    ):
        if hypothesis is None:
            raise ValueError(
                f"backbone.form={form} asks for what can be said of a class, and the data set does not tell it; "
                "say data.hypothesis, such as 'It was {label}.', and data.words, such as [terrible, great]"
            )
        if form == "mask" and tokenizer.mask_token_id is None:
            raise ValueError("backbone.form=mask needs a tokenizer with a mask token, and this one has none")
        self.form, self.tokenizer = form, tokenizer
        before, _, after = hypothesis.text.partition("{label}")
        glue = " " if form == "mask" else ""  # at a mask the hypothesis goes on with the source's segment
        self.before = self.ids(glue + before.strip()) if before.strip() else []
        self.after = self.ids(after.rstrip()) if after.strip() else []
        labels = [self.ids(f" {words}") for words in hypothesis.words]
        self.labels = labels[1:] if form == "entailment" and len(labels) == 2 else labels  # those that are asked for
        self.start, self.end = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        self.joint = [] if form == "mask" else [tokenizer.eos_token_id] * 2
        self.lay_out(0, 0)

    def ids(self, text: str) -> list[int]:
        """The ids of a text, with nothing around."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def lay_out(self, front: int, behind: int) -> None:
        """Puts trained tokens, that no text has, in front of the hypothesis and behind its label."""
        n_before, n_after = len(self.before), len(self.after)
        slots = iter(range(front + n_before + behind + n_after))
        parts = [[next(slots) for _ in range(n)] for n in (front, n_before, behind, n_after)]
        unread = [self.tokenizer.eos_token_id]  # an id in the place of a token that has none
        self.template = [None] * front + self.before + [None] * behind + self.after  # ids by slot
        self.inputs: list[tuple[list[int], list[int]]] = []  # ids and slots of each hypothesis
        for label, places in self.asked():
            ids = unread * front + self.before + label + unread * behind + self.after
            self.inputs.append((ids, parts[0] + parts[1] + places + parts[2] + parts[3]))

    def asked(self) -> list[tuple[list[int], list[int]]]:
        """Ids and slots of what stands in the label's place of each hypothesis that is asked."""
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

    def source(self, ids: list[int], most: int) -> tuple[list[int], bool]:
        """What an input of `most` tokens begins with, up to its hypothesis; and whether the source's end was cut."""
        room = most - self.length
        if room < LEAST_SOURCE:
            raise ValueError(
                f"backbone.max_source_tokens={most} leaves {room} tokens for a source beside a hypothesis of "
                f"{self.length}; it has to leave {LEAST_SOURCE}"
            )
        return [*self.start, *ids[:room], *self.joint], room < len(ids)

    def collate(self, rows: Sequence[Encoded], pad: int, training: bool) -> dict[str, Tensor]:
        """input_ids, attention_mask and slots [B H, T] of H hypotheses for each row; with `training`, labels [B]."""
        sequences = [
            (row.source + ids + self.end, len(row.source), slots) for row in rows for ids, slots in self.inputs
        ]
        slots = [[NO_SLOT] * n + slots + [NO_SLOT] for _, n, slots in sequences]
        batch = pad_rows([ids for ids, _, _ in sequences], pad)
        batch["slots"] = pad_rows(slots, NO_SLOT)["input_ids"]
        return batch | ({"labels": torch.tensor([row.target for row in rows])} if training else {})

    def logits(self, backbone: Backbone, inputs: dict[str, Tensor]) -> Tensor:
        """[B, classes] for a batch; `label_vectors` [classes, d_model] in it stand for the labels' words at a mask."""
        read = {name: tensor for name, tensor in inputs.items() if name not in ("slots", "label_vectors")}
        if self.form == "mask":
            return self.of_words(backbone, read, inputs["slots"], inputs.get("label_vectors"))
        return backbone.answers(backbone.model(**read).logits)

    def scores(self, logits: Tensor, config: PretrainedConfig) -> Tensor:
        """[B, classes] of what an NLI head gives [B H, n] for H hypotheses of each row."""
        scores = entailed(logits.float(), config)  # [B H]
        if len(self.inputs) == 1:
            return torch.stack([torch.zeros_like(scores), scores], dim=-1)
        return scores.view(-1, len(self.inputs))

    def of_words(self, backbone: Backbone, read: dict, slots: Tensor, vectors: Tensor | None) -> Tensor:
        """[B, classes]: how well each label's words, or the vectors in their place, stand at the mask."""
        head, hidden = words_head(backbone), backbone.model.base_model(**read).last_hidden_state
        hidden = hidden[:, hidden.shape[1] - slots.shape[1] :][slots == AT_MASK]  # [B, d_model], behind a prompt
        output = backbone.model.get_output_embeddings()
        words = [torch.tensor(label, device=hidden.device) for label in self.labels]
        if vectors is None:
            vectors = torch.stack([output.weight[ids].mean(0) for ids in words])
        bias = torch.stack([output.bias[ids].mean() for ids in words])
        return features(head, output, hidden).float() @ vectors.float().T + bias.float()


def entailing(config: PretrainedConfig) -> int | None:
    """The number of the class "entailment" of a model's head, which each model has in another place; None: no NLI."""
    places = [int(i) for i, name in config.id2label.items() if name.lower().startswith("entail")]
    return places[0] if len(places) == 1 else None


def entailed(logits: Tensor, config: PretrainedConfig) -> Tensor:
    """The log-odds [B] of entailment by the logits [B, n] of an NLI head, or by a head [B, 1] that tells them."""
    if logits.shape[-1] == 1:
        return logits[:, 0]
    i = entailing(config)
    others = [j for j in range(logits.shape[-1]) if j != i]
    return logits[:, i] - logits[:, others].logsumexp(-1)


def renew_head(backbone: Backbone) -> None:
    """Gives the backbone a new head that tells the log-odds of entailment."""
    name = backbone.classifier()[0][0].split(".")[0]
    kind = type(getattr(backbone.model, name))
    backbone.config.num_labels = 1
    head = kind(backbone.config).to(backbone.model.device, backbone.model.dtype)
    head.apply(backbone.model._init_weights)
    setattr(backbone.model, name, head.requires_grad_(False))
    backbone.has_new_head = True


def words_head(backbone: Backbone) -> nn.Module:
    """The head that predicts a word; where the model has another, the checkpoint's joins it.

    Raises ValueError for a checkpoint without one.
    """
    name = backbone.family.words_head
    if not hasattr(backbone.model, name):
        head = backbone.read_words_head().to(backbone.model.device, backbone.model.dtype).requires_grad_(False)
        head.decoder.weight = backbone.model.get_input_embeddings().weight
        backbone.model.add_module(name, head)
    return getattr(backbone.model, name)


def features(head: nn.Module, output: nn.Module, hidden: Tensor) -> Tensor:
    """What `head` makes of hidden [N, d_model] before its `output` embedding turns it into logits: [N, d_model]."""
    entered = []
    handle = output.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        head(hidden)
    finally:
        handle.remove()
    return entered[0]
