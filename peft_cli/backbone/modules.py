"""The weights and modules of a pretrained transformer, and the places where a method changes it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from peft_cli.backbone.families import Family
from peft_cli.backbone.hooks import Attention, Block, FeedForward, Hook, Linear, Rows
from peft_cli.backbone.master_weights import MasterWeights

Place = TypeVar("Place", bound=Hook)


class Modules:
    """The weights and modules of `model`, by name and by place."""

    model: PreTrainedModel
    config: PretrainedConfig
    family: Family
    masters: MasterWeights
    constants: set[int]
    rows: Rows
    own_head: tuple[str, nn.Module] | None  # name and module in place of the model's head, where backbones share it
    has_new_head: bool

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Every weight of the model that pretraining could change, a tied one once."""
        own = {}
        if self.own_head is not None:
            name, head = self.own_head
            own = {f"{name}.{inner}": p for inner, p in head.named_parameters()}
        weights = self.model.named_parameters()
        return [(name, own.get(name, p)) for name, p in weights if id(p) not in self.constants]

    def output_embedding(self) -> tuple[str, nn.Parameter]:
        """The matrix [V, d_model] that makes logits, by the name it has in `named_parameters`."""
        weight = self.model.get_output_embeddings().weight
        return next((name, p) for name, p in self.named_parameters() if p is weight)

    def head(self) -> list[tuple[str, nn.Parameter]]:
        """The weights of a head with random weights; none where the model writes text, or has a trained head."""
        return self.classifier() if self.has_new_head else []

    def classifier(self) -> list[tuple[str, nn.Parameter]]:
        """The weights of a classification head, new or not."""
        pattern = self.family.head
        return [(name, p) for name, p in self.named_parameters() if pattern and re.fullmatch(pattern, name)]

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """The weight that trains in place of `weight`, in fp32."""
        return self.masters.adopt(weight)

    def fingerprint(self) -> str:
        """The SHA-256 of all pretrained weights, in their order."""
        digest, head = hashlib.sha256(), {id(p) for _, p in self.head()}
        for parameter in (p for _, p in self.named_parameters() if id(p) not in head):
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def name_of(self, module: nn.Module) -> str:
        """The name of one of the model's modules."""
        return next(name for name, own in self.model.named_modules() if own is module)

    def modules(self, pattern: str) -> list[tuple[str, nn.Module]]:
        """The modules whose whole name matches `pattern`, in the model's order."""
        return [(name, module) for name, module in self.model.named_modules() if re.fullmatch(pattern, name)]

    def linears(self, *parts: str) -> list[Linear]:
        """The linear maps that are one of `parts`, in the order of the parts and then of the blocks."""
        known, found = self.family.linears, []
        for part in parts:
            if part not in known:
                raise ValueError(f"{self.config.model_type} has no part {part!r}; it has {', '.join(known)}")
            pattern, i, n, layout = known[part]
            for _, module in self.modules(pattern):
                whole = Linear(module, self.rows)
                found.append(replace(whole, columns=slice_columns(whole.module_out, i, n, layout, self.config)))
        return found

    def feed_forwards(self) -> list[FeedForward]:
        """The feed-forward of every block."""
        first, last = self.linears("ffn_input"), self.linears("ffn_output")
        first = first[:: len(first) // len(last)]  # a gated one has two maps that read the same
        norms = [Hook(module, self.rows) for _, module in self.modules(self.family.ffn_norm)]
        return [FeedForward(*parts, self.family.normalizes) for parts in zip(norms, first, last, strict=True)]

    def attentions(self) -> dict[str, list[Attention]]:
        """The attention modules by kind (encoder, decoder, across), first block to last."""
        return self.places(Attention, self.family.attentions)

    def all_attentions(self) -> list[Attention]:
        """The attention modules of all kinds."""
        return [attention for kind in self.attentions().values() for attention in kind]

    def blocks(self) -> dict[str, list[Block]]:
        """The blocks of each stack (encoder, decoder), first to last; the first stack reads the input."""
        return self.places(Block, self.family.blocks)

    def all_blocks(self) -> list[Block]:
        """The blocks of all stacks."""
        return [block for stack in self.blocks().values() for block in stack]

    def places(self, kind: type[Place], patterns: dict[str, str]) -> dict[str, list[Place]]:
        """The modules that match each pattern, as places of a kind."""
        return {
            name: [kind(module, self.rows) for _, module in self.modules(pattern)] for name, pattern in patterns.items()
        }


def embedding_weight(model: PreTrainedModel) -> Tensor:
    """The input embedding [V, d_model]."""
    return cast(Tensor, model.get_input_embeddings().weight)


def slice_columns(width: int, i: int, n: int, layout: str, config: PretrainedConfig) -> slice | Tensor:
    """The columns of slice i of n in what a fused map of `width` columns returns; families.yaml has the layouts."""
    if layout == "per_head":
        return torch.arange(width).view(config.num_attention_heads, n, -1)[:, i].flatten()
    if layout == "grouped":
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        ends = [0, heads, heads + kv_heads, heads + 2 * kv_heads]
        d_head = width // ends[-1]
        return slice(ends[i] * d_head, ends[i + 1] * d_head)
    return slice(i * width // n, (i + 1) * width // n)
