"""Differentiable entailment (Kim and Yang, 2023, https://arxiv.org/abs/2301.13345)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.backbone.batch import required
from peft_cli.config.options import option_file
from peft_cli.config.targets import resolve
from peft_cli.config.values import check
from peft_cli.forms.heads import renew_head, words_head
from peft_cli.forms.templates import NO_SLOT, templates_of
from peft_cli.method import Method

MASKED_SHARE = 0.15  # of a sentence's tokens, that the fluency loss hides


class Entailment(Method):
    """s_c = log odds that x entails h_c = [t_1 .. t_n; words; label_c; .], whose tokens have trained vectors.

    The class is the arg-max of s_c over the hypotheses h_c; of two classes, the second has a hypothesis, and s is 0 for
    the first. At step 0, each of the `tokens` vectors t is uniform within the range of the embedding of a token drawn
    from the vocabulary; the data set's words, its labels and the full stop are copies of their embeddings. `trains` is
    what trains: both, the template (t and words) or the labels; without a trained template there is no t. `sides=two`
    puts half of t behind the label. `head` computes s: that of the NLI training, frozen or trained, or a fresh one of a
    single output. `fluency` times a masked-language-model loss on the sentence's tokens (DART's L_fluency) is added.
    `on_top` is the name of another method that trains together with the vectors, with `options` over its own settings;
    ft trains all weights. Kim and Yang, 2023, https://arxiv.org/abs/2301.13345.

    Departures from the authors' code: vectors are parameters of their own, so that weight decay leaves the vocabulary
    alone, which shrinks theirs. The NLI head stays, where they have a fresh one; an input has the two segments that NLI
    models were trained with, where they have one; with more than two classes s_c is a number for each hypothesis and no
    map from classes to classes follows it. The fluency loss has a pass of its own over masked inputs, and is off by
    default; in their sweep it is never on.
    """

    form = "entailment"

    def __init__(
        self,
        backbone: Backbone,
        tokens: NonNegativeInt,
        sides: Literal["one", "two"],
        trains: Literal["both", "template", "labels", "nothing"],
        head: Literal["frozen", "trained", "fresh"],
        fluency: NonNegativeFloat,
        on_top: str | None,
        options: dict[str, Any] | None,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        self.templates, self.fluency = templates_of(backbone), fluency
        self.take_head(head)
        n = tokens if trains in ("both", "template") else 0
        self.templates.build_templates(n - n // 2 if sides == "two" else n, n // 2 if sides == "two" else 0)
        self.starts_neutral = n == 0 and head != "fresh"
        template = token_vectors(backbone, self.templates.template)
        labels = token_vectors(backbone, [i for label in self.templates.labels for i in label])
        self.template = nn.Parameter(template) if trains in ("both", "template") and len(template) else None
        self.labels = nn.Parameter(labels) if trains in ("both", "labels") else None
        if fluency:
            words_head(backbone)
        self.on_top = self.build_second(on_top, options or {})
        if not list(self.parameters()):
            raise ValueError(
                f"method.trains={trains} with method.head={head} trains nothing; add a method.on_top, such as ft"
            )

    def take_head(self, head: str) -> None:
        """Has the model's own NLI head compute s, frozen or trained, or a fresh head."""
        if head == "fresh":
            renew_head(self.backbone)
            self.adopted.clear()
            self.adopt(self.backbone.head())
        elif self.backbone.head():
            known = ", ".join(map(str, (self.backbone.config.id2label or {}).values()))
            raise ValueError(
                f"method.head={head} needs a backbone trained on NLI, and the classes of this one are {known}; "
                "train it on NLI data first, or take method.head=fresh"
            )
        elif head == "trained":
            self.adopt(self.backbone.classifier())

    def build_second(self, name: str | None, options: dict[str, Any]) -> Method | None:
        """The method `name` on the same backbone, if any; what it trains of the backbone itself is its own alone."""
        if name is None:
            if options:
                raise ValueError(f"method.options={options} are of the method on top, and method.on_top is null")
            return None
        arguments: Any = OmegaConf.to_container(OmegaConf.load(option_file("method", name)))
        target = resolve(arguments.pop("_target_"), "method")
        check(options, target, "method.options")
        if not (isinstance(target, type) and issubclass(target, Method) and target.inputs is Method.inputs):
            raise ValueError(
                f"method.on_top={name} puts something into the input itself; take a method that does not, such as "
                "lora, adapter, bitfit or ft"
            )
        second = target(self.backbone, **(arguments | options))
        for key in [key for key in self.adopted if key in second.adopted]:
            del self.adopted[key]
        return second

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch with trained vectors in place of tokens of the template and the labels."""
        batch = self.backbone.embed(batch)
        embeds, slots = batch.embeds, required(batch.slots)
        for vectors, first in ((self.template, 0), (self.labels, len(self.templates.template))):
            if vectors is not None:
                index = slots - first  # [B, T], of the vector in a token's place where there is one
                has_vector = (index >= 0) & (index < len(vectors))
                chosen = vectors[index.clamp(0, len(vectors) - 1)].to(embeds.dtype)
                embeds = torch.where(has_vector.unsqueeze(-1), chosen, embeds)
        return batch.with_(inputs_embeds=embeds)

    def extra_loss(self, batch: Batch) -> Tensor | float:
        """`fluency` times the loss of masked tokens of the sentences, each before its own class's hypothesis."""
        if not self.fluency:
            return 0.0
        batch = self.of_own_class(batch)
        ids, tokenizer = batch.ids, self.backbone.tokenizer
        special = torch.tensor(tokenizer.all_special_ids, device=ids.device)
        hidden = (torch.rand(ids.shape, device=ids.device) < MASKED_SHARE) & (batch.slots == NO_SLOT)
        hidden &= ~torch.isin(ids, special)
        if not hidden.any():
            return 0.0
        masked = self.inputs(batch.with_(input_ids=ids.masked_fill(hidden, tokenizer.mask_token_id)))
        states = self.backbone.model.base_model(**masked.model_inputs()).last_hidden_state[hidden]
        loss = F.cross_entropy(words_head(self.backbone)(states).float(), ids[hidden])
        return self.fluency * loss * len(ids)

    def of_own_class(self, batch: Batch) -> Batch:
        """`batch` with one input for each example: that of its own class, where each class has one."""
        labels, n = batch.targets, len(self.templates.inputs)
        rows = torch.arange(len(labels), device=labels.device) * n + (labels if n > 1 else 0)
        return batch.with_(**{name: tensor[rows] for name, tensor in batch.tensors().items() if name != "labels"})

    @property
    def shares_batches(self) -> bool:
        """Whether the NLI head and all other weights of the backbone stay what they are, for other tasks to use."""
        return super().shares_batches and not self.adopted and (self.on_top is None or self.on_top.shares_batches)

    def param_groups(self) -> list[dict]:
        """The vectors and a head with `lr`, and the groups of the method on top."""
        second = self.on_top.param_groups() if self.on_top else []
        theirs = {id(p) for group in second for p in group["params"]}
        own = [p for p in self.parameters() if id(p) not in theirs]
        return [*([{"params": own, "lr": self.lr}] if own else []), *second]

    def fold(self) -> None:
        """Folds the method on top."""
        if self.on_top:
            self.on_top.fold()


def token_vectors(backbone: Backbone, ids: list[int | None]) -> Tensor:
    """The embeddings [n, d_model] of `ids` in fp32; noise in the range of any token's embedding where there is none."""
    drawn = torch.randint(backbone.config.vocab_size, (len(ids),))
    known = torch.tensor([i if i is not None else int(j) for i, j in zip(ids, drawn, strict=True)], dtype=torch.long)
    vectors = backbone.embedding(known).detach().float().clone()
    noise = (2 * torch.rand(vectors.shape) - 1).to(vectors.device) * vectors.abs().amax(-1, keepdim=True)
    is_new = torch.tensor([i is None for i in ids], dtype=torch.bool, device=vectors.device)
    return torch.where(is_new.unsqueeze(-1), noise, vectors)
