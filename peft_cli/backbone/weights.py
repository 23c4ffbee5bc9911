"""The parts of a pretrained transformer by their names."""

from __future__ import annotations

import hashlib
import re

import torch
from torch import nn
from transformers import PreTrainedModel

from peft_cli.backbone.families import Family
from peft_cli.backbone.row_owners import OwnHead


class Weights:
    """The weights and modules of `model`."""

    model: PreTrainedModel
    family: Family
    own_head: OwnHead | None  # in place of the model's, where several backbones share it
    has_new_head: bool

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Every weight of the model, a tied one once."""
        own = {} if self.own_head is None else self.own_head.named()
        return [(name, own.get(name, p)) for name, p in self.model.named_parameters()]

    def output_embedding(self) -> tuple[str, nn.Parameter]:
        """The matrix [V, d_model] that makes logits, by the name it has in `named_parameters`."""
        weight = self.model.get_output_embeddings().weight
        return next((name, p) for name, p in self.named_parameters() if p is weight)

    def head(self) -> list[tuple[str, nn.Parameter]]:
        """The weights of a head that no pretraining has seen; none where the model writes text, or has learnt its."""
        return self.classifier() if self.has_new_head else []

    def classifier(self) -> list[tuple[str, nn.Parameter]]:
        """The weights of a classification head, new or not."""
        pattern = self.family.head
        return [(name, p) for name, p in self.named_parameters() if pattern and re.fullmatch(pattern, name)]

    def fingerprint(self) -> str:
        """The SHA-256 of all pretrained weights, in their order."""
        digest, head = hashlib.sha256(), {id(p) for _, p in self.head()}
        for parameter in (p for _, p in self.named_parameters() if id(p) not in head):
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def name_of(self, module: nn.Module) -> str:
        """The name of one of the model's modules."""
        return next(name for name, own in self.model.named_modules() if own is module)

    def modules(self, pattern: str) -> list[tuple[str, nn.Module]]:
        """The modules whose whole name matches `pattern`, in the model's order."""
        return [(name, module) for name, module in self.model.named_modules() if re.fullmatch(pattern, name)]
