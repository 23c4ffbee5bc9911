"""The backbone itself: examples in, logits or text out, and its places of change."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from peft_cli.backbone.activation_cache import Frozen
from peft_cli.backbone.families import FAMILIES
from peft_cli.backbone.fused_gelu import join
from peft_cli.backbone.generation import read_once
from peft_cli.backbone.hooks import IMPLEMENTATION, Attention, Block, Linear
from peft_cli.backbone.prompt_cache import prompted
from peft_cli.backbone.row_owners import OwnHead, Shares
from peft_cli.backbone.targets import IGNORE, causal_targets, logits_at, places_of
from peft_cli.backbone.templates import Hypotheses, entailing
from peft_cli.backbone.tokenization import Encoded, Encoder, collate, positions_of
from peft_cli.backbone.weights import Weights
from peft_cli.data import Example


class Backbone(Weights):
    """A frozen `model` with its tokenizer. Not an nn.Module: a method may hold it without owning its weights."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str] = (),
        separator: str | None = None,
        max_source_tokens: int = 512,
        max_target_tokens: int = 128,
        is_number: bool = False,
        hypotheses: Hypotheses | None = None,
        read_words_head: Callable[[], nn.Module] | None = None,
    ):
        self.model, self.tokenizer, self.config = model.requires_grad_(False).eval(), tokenizer, model.config
        self.family = FAMILIES[model.config.model_type]
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.n_parameters = sum(p.numel() for p in model.parameters())  # without what a method puts into it
        rates = {name: value for name, value in model.config.to_dict().items() if "drop" in name}
        self.has_dropout = any(rate for name, rate in rates.items() if name != "summary_first_dropout")  # of no block
        self.shares, self.own_head = Shares(self), None
        join(model)
        self.read_words_head = read_words_head  # from the checkpoint, whose other heads the model has not
        limits = max_source_tokens, max_target_tokens
        self.begin(Encoder(tokenizer, self.family, separator, *limits, labels, is_number, hypotheses))
        self.has_new_head = self.form == "classes" or (self.form == "entailment" and entailing(model.config) is None)
        if self.family.is_decoder_only:
            model.register_forward_pre_hook(self.shifted, with_kwargs=True)
        modules = [attention.module for kind in self.attentions().values() for attention in kind]
        if any(module.config._attn_implementation != IMPLEMENTATION for module in modules):
            raise ValueError(f"{model.config.model_type} has attention modules that this package cannot change")
        # A checkpoint's generation settings would fill in what a run leaves open.
        ids = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        model.generation_config = GenerationConfig(**{name: getattr(self.config, name, None) for name in ids})
        model.generation_config.pad_token_id = self.pad

    def begin(self, encoder: Encoder) -> None:
        """The state of a backbone that no method acts on."""
        self.encoder, self.encoder_at_first = encoder, encoder.another()
        self.positions_added, self.shift = 0, 0  # in front of every input: in all, and without a tensor of their own
        self.moves: Callable[[int, int], Tensor] | None = None  # which tokens of a pass are shifted; None: all
        self.prompt: list[list[Tensor]] | None = None  # key and value of each attention module that every row reads
        self.kept: tuple[Tensor, list[list[Tensor]]] | None = None  # a prompt, and that of it, while nothing trains
        self.frozen: Frozen | None = None  # what is kept of the examples that come again
        self.source_room = math.inf, ""  # tokens of a source that a method can read, and the key that says so
        self.reserve(0)
        self.readers = self.attentions()["decoder"] if self.family.is_decoder_only else []  # of a prompt, each step
        self.shares.give((self, 1))

    def beside(self, encoder: Encoder | None = None) -> Backbone:
        """Another backbone of the same weights: what a method does to it happens to its own rows of a batch alone.

        It reads examples by an `encoder` of its own, by default as this one did at first. One that is asked for classes
        by a head gets a head of its own, which starts from noise; what is asked for entailment answers by the model's.
        """
        other, own = copy.copy(self), encoder or self.encoder_at_first.another()
        other.begin(own)
        if other.form == "entailment" != self.form:
            raise ValueError("the model has no NLI head for backbone.form=entailment; begin with a task that asks so")
        other.has_new_head = other.form == "classes"
        if other.has_new_head and (head := self.classifier()):
            n_outputs = 1 if own.is_number else len(own.labels)
            other.own_head = OwnHead(self.model, head[0][0].partition(".")[0], n_outputs)
            other.own_head.answer_for(other, self.shares)
        return other

    # examples <-> tensors

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of `examples`, each of which is tokenised once."""
        return [self.encoder(example) for example in examples]

    def check(self, examples: Sequence[Example]) -> None:
        """Raises ValueError if a source is longer than a method has room for; it tells of the longest."""
        longest = max(self.encode(examples), key=lambda row: len(row.source), default=None)
        if longest and len(longest.source) > self.source_room[0]:
            room, key = self.source_room
            raise ValueError(
                f"{key}={room} is too little for the longest source, which has {len(longest.source)} tokens"
            )

    def batch(self, rows: Sequence[Encoded], training: bool = True) -> dict[str, Tensor]:
        """The tensors of `rows` on the backbone's device, as `collate` describes them; with what is kept of them."""
        batch = self.plain_batch(rows, training)
        if training and self.frozen and self.frozen.serves(rows):
            batch["frozen"] = self.frozen.of(rows)
        return batch

    def plain_batch(self, rows: Sequence[Encoded], training: bool = True) -> dict[str, Tensor]:
        """The same without what is kept."""
        asked = self.encoder.hypotheses
        tensors = asked.collate(rows, self.pad, training) if asked else collate(rows, self.family, self.pad, training)
        return {name: tensor.to(self.model.device) for name, tensor in tensors.items()}

    def forward(self, inputs: dict[str, Tensor], most: int | None = None) -> tuple[Tensor, Tensor]:
        """Logits [N, V] and targets [N] of the N tokens that have a label; of a head [B, classes] and [B].

        With `most`, N is that number, and what has no label comes last.
        """
        inputs, targets = self.arranged(self.led(inputs))
        frozen = inputs.pop("frozen", None)
        with self.frozen.serving(frozen, inputs) if frozen else nullcontext():
            if not self.family.generates:
                return self.judge(inputs), targets
            places = places_of(targets, most)
            return logits_at(self.model, inputs, places), targets.flatten()[places]

    def arranged(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """What the model takes, with positions or a decoder's input in place of labels; and targets [B, T] or [B]."""
        inputs = dict(inputs)
        targets = inputs.pop("labels")
        if self.family.is_decoder_only:
            targets = causal_targets(targets)
            inputs["position_ids"] = positions_of(inputs["attention_mask"])
        elif self.family.generates:
            inputs["decoder_input_ids"] = self.model.prepare_decoder_input_ids_from_labels(labels=targets)
        return inputs, targets

    def judge(self, inputs: dict[str, Tensor]) -> Tensor:
        """What a backbone that does not write text says: [B, classes], or [B, 1] of a number."""
        asked = self.encoder.hypotheses
        return asked.logits(self, inputs) if asked else self.answers(self.model(**inputs).logits)

    def predict(self, inputs: dict[str, Tensor], **options: Any) -> list[str]:
        """The text that the model writes for each row of `inputs`, or what its head says: a class or a number.

        `options` are those of `generate`.
        """
        if self.family.generates:
            return self.text(self.generate(inputs, **options))
        with torch.no_grad():
            return self.says(self.judge(self.led(inputs)))

    def answers(self, logits: Tensor) -> Tensor:
        """[B, classes] of what the head gives, beside which heads of others may have more classes."""
        own = logits[:, : self.config.num_labels if self.own_head is None else self.own_head.n_outputs]
        return self.encoder.hypotheses.scores(own, self.config) if self.form == "entailment" else own

    def text(self, ids: Tensor) -> list[str]:
        """What written `ids` [B, T] say."""
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [" ".join(text.split()) for text in texts]

    def says(self, logits: Tensor) -> list[str]:
        """What a head's answers [B, classes] say: a class or a number for each row."""
        if self.encoder.is_number:
            return [f"{value:.4f}" for value in logits[:, 0].tolist()]
        return [self.encoder.labels[i] for i in logits.float().argmax(-1).tolist()]

    @torch.no_grad()
    def generate(self, inputs: dict[str, Tensor], **options: Any) -> Any:
        """What transformers' `generate` gives with `options`: the ids written, [B, T], without those that were read."""
        inputs = self.led(inputs)
        if self.family.is_decoder_only:
            if "input_ids" in inputs:
                inputs = self.embed(inputs)  # from vectors, a decoder returns what it wrote alone
            inputs = inputs | read_once(self.model, inputs, options)
        return self.model.generate(**inputs, do_sample=False, **options)

    # the four places

    def embedding(self, ids: Tensor) -> Tensor:
        """Token ids [...] to input embeddings [..., d_model], scaled as the first layer expects them."""
        return self.model.get_input_embeddings()(ids.to(self.model.device))

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`batch` with `inputs_embeds` [B, T, d_model] in place of `input_ids` [B, T]."""
        rest = {name: tensor for name, tensor in batch.items() if name != "input_ids"}
        return {"inputs_embeds": self.embedding(batch["input_ids"]), **rest}

    def source_mask(self, batch: dict[str, Tensor]) -> Tensor:
        """[B, T], true where a token of the source stands: not padding, and not a target that a decoder reads along."""
        mask = batch["attention_mask"].bool()
        return mask & (batch["labels"] == IGNORE) if self.family.is_decoder_only and "labels" in batch else mask

    def prepend(self, batch: dict[str, Tensor], vectors: Tensor) -> dict[str, Tensor]:
        """An embedded `batch` with `vectors` [P, d_model] in front; what has to stay first (RoBERTa's <s>) does.

        In a decoder they attend to themselves alone, so they are the same for every row: they run through the blocks
        once, and the rows read their keys and values (not under dropout, which is another one for each row).
        """
        embeds, length, at = batch["inputs_embeds"], len(vectors), self.family.prompt_at
        if not length:
            return batch
        vectors = vectors.to(embeds.dtype)
        if self.family.is_decoder_only and not (self.model.training and self.has_dropout):
            return batch | {"prompt": vectors}
        batch = batch | {
            "inputs_embeds": torch.cat([embeds[:, :at], vectors.expand(len(embeds), -1, -1), embeds[:, at:]], dim=1),
            "attention_mask": F.pad(batch["attention_mask"], (length, 0), value=1),
        }
        if "labels" in batch and self.family.is_decoder_only:
            batch["labels"] = F.pad(batch["labels"], (length, 0), value=IGNORE)
        return batch

    def led(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """`inputs` without their owners and prompts, by which every place of change goes from here on.

        They stay until the next inputs come, since checkpointed blocks run again in the backward pass.
        """
        owned = inputs.get("owned") or [(self, 1, inputs.get("prompt"))]
        prompts = prompted({owner: vectors for owner, _, vectors in owned if vectors is not None})
        self.shares.give(*((owner, n_rows) for owner, n_rows, _ in owned))
        for owner, _, _ in owned:
            owner.lead(prompts.get(owner))
        return {name: tensor for name, tensor in inputs.items() if name not in ("owned", "prompt")}

    def lead(self, prompt: list[list[Tensor]] | None) -> None:
        """Hands each attention module its part of a prompt."""
        self.prompt = prompt
        for i, attention in enumerate(self.readers):
            attention.lead(None if prompt is None else prompt[i])

    def shifted(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """A decoder's arguments with the position of every token moved up by what stands in front of it."""
        if not any(owner.positions_in_front for owner, _ in self.shares.parts):
            return args, kwargs
        ids = kwargs["position_ids"]
        moved = [owner.moved(own) for owner, own in zip(self.shares.owners, self.shares.split(ids), strict=True)]
        return args, kwargs | {"position_ids": torch.cat(moved)}

    @property
    def positions_in_front(self) -> int:
        """How many positions a decoder's tokens move up."""
        return self.shift + (self.prompt[0][0].shape[2] if self.prompt else 0)

    def moved(self, ids: Tensor) -> Tensor:
        """The positions `ids` [B, T] of the backbone's own rows, moved up."""
        return ids + self.positions_in_front * (1 if self.moves is None else self.moves(*ids.shape))

    def linears(self, *parts: str) -> list[Linear]:
        """The linear maps that are one of `parts`, in the order of the parts and then of the blocks."""
        known, found = self.family.linears, []
        for part in parts:
            if part not in known:
                raise ValueError(f"{self.config.model_type} has no part {part!r}; it has {', '.join(known)}")
            pattern, i, n = known[part]
            for _, module in self.modules(pattern):
                found.append(Linear(module, i, n, self.shares, self))
        return found

    def attentions(self) -> dict[str, list[Attention]]:
        """The attention modules by kind (encoder, decoder, across), first block to last."""
        return self.places(Attention, self.family.attentions)

    def blocks(self) -> dict[str, list[Block]]:
        """The blocks of each stack (encoder, decoder), first to last; the first stack reads the input."""
        return self.places(Block, self.family.blocks)

    def places(self, kind: type, patterns: dict[str, str]) -> dict[str, list]:
        """The modules that match each pattern, as places of a kind."""
        return {
            name: [kind(module, self.shares, self) for _, module in self.modules(pattern)]
            for name, pattern in patterns.items()
        }

    # what else a method may ask

    @property
    def d_model(self) -> int:
        """The width of an input embedding."""
        return self.model.get_input_embeddings().weight.shape[1]

    def heads(self) -> tuple[int, int]:
        """The number of heads that keys and values have, and the width of one."""
        n = self.config.num_attention_heads
        d_head = getattr(self.config, "d_kv", None) or getattr(self.config, "head_dim", None) or self.d_model // n
        return getattr(self.config, "num_key_value_heads", n), d_head

    @property
    def form(self) -> str:
        """How it is asked for a class: classes | entailment | mask, as `peft_cli.backbone.templates` tells."""
        return self.encoder.hypotheses.form if self.encoder.hypotheses else "classes"

    @property
    def task_type(self) -> str:
        """What HF peft calls the task."""
        if not self.family.generates:
            return "SEQ_CLS"
        return "CAUSAL_LM" if self.family.is_decoder_only else "SEQ_2_SEQ_LM"

    def layout(self) -> dict[str, int]:
        """Layers and heads, by the names that HF peft has for them."""
        return {"num_layers": len(next(iter(self.attentions().values()))), "num_attention_heads": self.heads()[0]}

    def reserve(self, positions: int) -> None:
        """Tells that a method adds `positions` in front of every input; sources are cut to leave room for them."""
        self.positions_added += positions
        if self.family.positions is None:
            return
        limit = getattr(self.config, self.family.positions) - self.family.positions_unused - self.positions_added
        if self.family.is_decoder_only:
            limit -= self.encoder.max_target_tokens
        if limit < 8:
            raise ValueError(
                f"{self.positions_added} positions in front leave {limit} of the backbone's "
                f"{getattr(self.config, self.family.positions)} for a source; take fewer, "
                "or lower backbone.max_target_tokens"
            )
        self.encoder.max_source_tokens = min(self.encoder.max_source_tokens, limit)

    def shift_positions(self, positions: int, moves: Callable[[int, int], Tensor] | None = None) -> None:
        """Moves the positions of a decoder's tokens up, as if `positions` tokens stood in front of them.

        `moves(B, T)` [B, T] is true for the tokens of a pass that move; None moves all. An encoder's never move.
        """
        if not self.family.is_decoder_only:
            self.positions_added += positions
            return
        self.reserve(positions)
        self.shift, self.moves = self.shift + positions, moves
