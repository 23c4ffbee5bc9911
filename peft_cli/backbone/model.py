"""The backbone: examples in, logits or text out, and the places where a method changes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.backbone.batch import (
    IGNORE,
    Batch,
    Encoded,
    HiddenStates,
    causal_targets,
    collate,
    positions_of,
    scored_index,
)
from peft_cli.backbone.families import FAMILIES
from peft_cli.backbone.fused_gelu import fuse_gelu
from peft_cli.backbone.generation import cache_sources
from peft_cli.backbone.hooks import AttentionHooks, Rows, attention_hooks
from peft_cli.backbone.master_weights import MasterWeights
from peft_cli.backbone.modules import Modules, embedding_weight
from peft_cli.backbone.new_head import entailment_index
from peft_cli.backbone.positions import Positions
from peft_cli.backbone.prompt_cache import KeyValue, PromptCache, encode_prompt
from peft_cli.backbone.special_tokens import set_special_tokens
from peft_cli.backbone.tokenization import Encoder, Form


class Backbone(Modules, Positions):
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
        form: Form | None = None,
        read_words_head: Callable[[], nn.Module] | None = None,
    ):
        self.constants = {id(p) for p in model.parameters() if not p.requires_grad}  # such as tables of sines
        self.model, self.tokenizer, self.config = model.requires_grad_(False).eval(), tokenizer, model.config
        self.family = FAMILIES[model.config.model_type]
        self.n_parameters = sum(p.numel() for p in model.parameters())  # without what a method puts into it
        rates = {name: value for name, value in model.config.to_dict().items() if "drop" in name}
        self.has_dropout = any(rate for name, rate in rates.items() if name != "summary_first_dropout")  # of no block
        self.rows, self.siblings = Rows(), [self]  # of a batch that its hooks act on; and all backbones of the model
        self.masters: MasterWeights = MasterWeights()
        self.own_head: tuple[str, nn.Module] | None = None
        fuse_gelu(model)
        self.read_words_head = read_words_head  # from the checkpoint, whose other heads the model has not
        limits = max_source_tokens, max_target_tokens
        self.reset_state(Encoder(tokenizer, self.family, separator, *limits, labels, is_number, form))
        self.has_new_head = self.form == "classes" or (
            self.form == "entailment" and entailment_index(self.config) is None
        )
        if self.family.attentions and self.config._attn_implementation != IMPLEMENTATION:
            raise ValueError(f"{model.config.model_type} has attention modules that this package cannot change")
        self.pad, self.end_tokens = set_special_tokens(model, tokenizer)

    def reset_state(self, encoder: Encoder) -> None:
        """Sets the state of a backbone that no method changes."""
        self.encoder, self.encoder_at_first = encoder, encoder.copy()
        self.positions_added, self.shift = 0, 0  # in front of every input: in all, and without a tensor of their own
        self.shifted: Callable[[int, int], Tensor] | None = None  # which tokens of a pass are shifted; None: all
        self.prompt: PromptCache | None = None  # that the next passes read
        self.known_prompt: tuple[Tensor, PromptCache] | None = None  # vectors and their cache, while nothing trains
        self.activation_cache: HiddenStates | None = None
        self.source_room: tuple[float, str] = math.inf, ""  # tokens of a source that a method can read, and its key
        self.reserve(0)
        self.prompt_readers = self.attentions().get("decoder", []) if self.family.is_decoder_only else []
        if self.family.is_decoder_only:
            self.model.register_forward_pre_hook(self.position_hook, with_kwargs=True)

    # examples <-> tensors

    def collate(self, rows: Sequence[Encoded], training: bool = True) -> Batch:
        """The batch of `rows` on the backbone's device, with labels in training."""
        form, device = self.encoder.form, self.model.device
        if form:
            return form.collate(rows, self.pad, training).to(device)
        return collate(rows, self.family, self.pad, training).to(device)

    def batch(self, rows: Sequence[Encoded], training: bool = True) -> Batch:
        """The same, with cached hidden states where there are."""
        batch, cache = self.collate(rows, training), self.activation_cache
        return batch.with_(hidden=cache.hidden(rows)) if training and cache and cache.covers(rows) else batch

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [N, V] and targets [N] of the N tokens that have a label; of a head [B, classes] and [B]."""
        self.activate(batch.prompt)
        return self.forward_active(batch)

    def forward_active(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same, by the rows and prompts that are set."""
        if not self.family.generates:
            return self.forward_logits(batch), batch.targets
        inputs, targets = self.prepare_inputs(batch)
        index = scored_index(targets)
        if not batch.hidden or self.activation_cache is None:
            return logits_at(self.model, inputs, index), targets.flatten()[index]
        with self.activation_cache.serve(batch.hidden) as more:
            return logits_at(self.model, inputs | more, index), targets.flatten()[index]

    def prepare_inputs(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The arguments of a model that writes text, with positions or a decoder's input; and targets [B, T]."""
        inputs, labels = batch.model_inputs(), batch.targets
        if self.family.is_decoder_only:
            return inputs | {"position_ids": positions_of(batch.attention_mask)}, causal_targets(labels)
        shift: Any = self.model.prepare_decoder_input_ids_from_labels
        return inputs | {"decoder_input_ids": shift(labels=labels)}, labels

    def forward_logits(self, batch: Batch) -> Tensor:
        """The logits [B, classes] of a backbone that does not write text, or [B, 1] of a number."""
        if self.encoder.form:
            return self.encoder.form.forward_logits(self, batch)
        if not batch.hidden or self.activation_cache is None:
            return self.class_logits(self.model(**batch.model_inputs()).logits)
        with self.activation_cache.serve(batch.hidden) as more:
            return self.class_logits(self.model(**batch.model_inputs(), **more).logits)

    def class_logits(self, logits: Tensor) -> Tensor:
        """[B, classes] from the logits of a head."""
        form = self.encoder.form
        return form.class_logits(logits, self.config) if form else logits

    def predict(self, batch: Batch, **options: Any) -> list[str]:
        """The text that the model writes for each row, or the class or number of its head; `options` of `generate`."""
        if self.family.generates:
            return self.decode(self.generate(batch, **options))
        self.activate(batch.prompt)
        with torch.no_grad():
            return self.decode_labels(self.forward_logits(batch))

    def decode(self, ids: Tensor) -> list[str]:
        """The texts of generated ids [B, T], each up to its first end token."""
        first, ends = int(self.config.is_encoder_decoder), self.end_tokens  # an encoder-decoder's start with one
        rows = [list(takewhile(lambda token: token not in ends, row)) for row in ids[:, first:].tolist()]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [" ".join(text.split()) for text in texts]

    def decode_labels(self, logits: Tensor) -> list[str]:
        """The class or number of each row, from a head's logits [B, classes]."""
        if self.encoder.is_number:
            return [f"{value:.4f}" for value in logits[:, 0].tolist()]
        return [self.encoder.labels[i] for i in logits.float().argmax(-1).tolist()]

    def generate(self, batch: Batch, **options: Any) -> Tensor:
        """The ids [B, T] that transformers' `generate` writes with `options`, without those that were read."""
        self.activate(batch.prompt)
        return self.generate_active(batch, **options)

    @torch.no_grad()
    def generate_active(self, batch: Batch, **options: Any) -> Tensor:
        """The same, by the rows and prompts that are set."""
        if self.family.is_decoder_only and batch.inputs_embeds is None:
            batch = self.embed(batch)  # from vectors, a decoder returns what it wrote alone
        inputs: dict[str, Any] = batch.model_inputs()
        if self.family.is_decoder_only:
            inputs |= cache_sources(self.model, inputs, options)
        generate: Any = self.model.generate
        return generate(**inputs, do_sample=False, **options)

    # prompts

    def encode_prompt(self, vectors: Tensor) -> PromptCache:
        """A decoder's keys and values for `vectors` [P, d_model]; without gradients, the last ones are kept."""
        trains, known = torch.is_grad_enabled(), self.known_prompt
        if not trains and known is not None and torch.equal(known[0], vectors):
            return known[1]
        self.activate(None)
        prompt = encode_prompt(self.model, vectors, self.shift)
        self.known_prompt = None if trains else (vectors.clone(), prompt)
        return prompt

    def activate(self, prompt: PromptCache | None) -> None:
        """Has all rows of the next passes act by this backbone's hooks, and read `prompt`.

        That stays until the next call, as checkpointed blocks run again in the backward pass.
        """
        self.masters.round_into_model()
        for backbone in self.siblings:
            backbone.rows.set(0, 0, 1)
        self.rows.set(0, 1, 1)
        self.set_prompt(prompt)

    def set_prompt(self, prompt: PromptCache | None) -> None:
        """Hands each attention module its part of a prompt."""
        self.prompt = prompt
        for i, attention in enumerate(self.prompt_readers):
            attention.set_prompt_kv(None if prompt is None else prompt.layers[i])

    # the places of change

    def embedding(self, ids: Tensor) -> Tensor:
        """Token ids [...] to input embeddings [..., d_model], scaled as the first layer expects them."""
        self.masters.round_into_model()
        return self.model.get_input_embeddings()(ids.to(self.model.device))

    def embed(self, batch: Batch) -> Batch:
        """`batch` with `inputs_embeds` [B, T, d_model] in place of `input_ids` [B, T]."""
        return batch.with_(inputs_embeds=self.embedding(batch.ids), input_ids=None)

    def source_mask(self, batch: Batch) -> Tensor:
        """[B, T], true for a token of the source: no padding, and no target that a decoder reads along."""
        mask = batch.attention_mask.bool()
        return mask & (batch.labels == IGNORE) if self.family.is_decoder_only and batch.labels is not None else mask

    def prepend(self, batch: Batch, vectors: Tensor) -> Batch:
        """An embedded `batch` with `vectors` [P, d_model] in front; what has to stay first (RoBERTa's <s>) does.

        In a decoder they attend to themselves alone, so they are the same for every row: they run through the blocks
        once, and the rows read their keys and values (not under dropout, which differs from row to row, and where a
        family computes attention by itself).
        """
        embeds, length, at = batch.embeds, len(vectors), self.family.prompt_at
        if not length:
            return batch
        vectors = vectors.to(embeds.dtype)
        if self.prompt_readers and not (self.model.training and self.has_dropout):
            return batch.with_(prompt=self.encode_prompt(vectors))
        joined = torch.cat([embeds[:, :at], vectors.expand(len(embeds), -1, -1), embeds[:, at:]], dim=1)
        batch = batch.with_(inputs_embeds=joined, attention_mask=F.pad(batch.attention_mask, (length, 0), value=1))
        if batch.labels is not None and self.family.is_decoder_only:
            batch = batch.with_(labels=F.pad(batch.labels, (length, 0), value=IGNORE))
        return batch

    @torch.no_grad()
    def compute_kv(self, ids: list[int]) -> dict[str, list[KeyValue]]:
        """Key and value [1, kv_heads, T, d_head] of every attention module, by kind, for a text of T token ids.

        No method acts. An encoder and a decoder both read the text.
        """
        seen: dict[str, list[KeyValue]] = {kind: [] for kind in self.attentions()}
        modules = [(kind, attention.module) for kind, own in self.attentions().items() for attention in own]

        def record(kind: str, key: Tensor, value: Tensor) -> KeyValue:
            seen[kind].append((key, value))
            return key, value

        self.activate(None)
        self.rows.set(0, 0, 1)  # no method acts
        every_row = Rows()
        for kind, module in modules:
            attention_hooks(module)[every_row] = AttentionHooks(partial(record, kind))
        tensor = torch.tensor([ids], device=self.model.device)
        inputs: dict[str, Any] = {"decoder_input_ids": tensor} if self.config.is_encoder_decoder else {}
        if self.family.is_decoder_only:  # without one, positions are read back from the device
            inputs["attention_mask"] = torch.ones_like(tensor)
        inputs |= {"use_cache": False} if self.family.generates else {}
        try:
            self.model(input_ids=tensor, **inputs)
        finally:
            for _, module in modules:
                del attention_hooks(module)[every_row]
            self.activate(None)
        return seen

    # what else a method may ask

    @property
    def d_model(self) -> int:
        """The width of an input embedding."""
        return embedding_weight(self.model).shape[1]

    @property
    def form(self) -> str:
        """How it is asked for a class: classes (by a head) | entailment | mask, as `peft_cli.forms` explains."""
        return self.encoder.form.name if self.encoder.form else "classes"

    @property
    def n_outputs(self) -> int:
        """The outputs that a new head has for the task."""
        return 1 if self.encoder.is_number else len(self.encoder.labels)

    @property
    def task_type(self) -> str:
        """What HF peft calls the task."""
        if not self.family.generates:
            return "SEQ_CLS"
        return "CAUSAL_LM" if self.family.is_decoder_only else "SEQ_2_SEQ_LM"

    def layout(self) -> dict[str, int]:
        """Layers and heads of keys and values, by the names that HF peft has for them."""
        layers = next(iter(self.compute_kv([self.pad]).values()))
        return {"num_layers": len(layers), "num_attention_heads": layers[0][0].shape[1]}


def logits_at(model: PreTrainedModel, inputs: dict[str, Tensor], index: Tensor) -> Tensor:
    """The logits [N, V] of `model` at `index` [N], which count the positions of all rows: b T + t.

    The vocabulary product runs on those N rows only: a hook picks them out of what enters the output embedding.
    """

    def pick(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0].flatten(0, 1)[index],)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits.view(-1, logits.shape[-1])
