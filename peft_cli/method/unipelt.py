"""UniPELT (Mao et al., 2022, https://aclanthology.org/2022.acl-long.433)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method.adapter import Activation, Bottleneck, add_adapters, bottleneck_size, linear_maps
from peft_cli.method.prefix import Prefix

GATE_STD = 0.02  # of a gate's weights at step 0


class UniPELT(Prefix):
    """W x + g B A x, y + g W_up f(W_down z), and [g P_k; K], [g P_v; V]: LoRA, adapter and prefix, each times a gate.

    LoRA is on query and value and has no scale but its gate; the adapter is Pfeiffer's, whose z is norm(x + y), or
    x + y where a block normalises first (`input=normed`), or y (`input=output`); the prefix is in every attention, with
    the MLP of prefix-tuning in training. A gate is g = sigmoid(w h + c), with a w [d_model] and c of its own in each
    place; h is what enters the map W, what the adapter reads (z), and what enters the query map of the attention. At
    step 0, w is N(0, 0.02) and c zero, so that g is near 1/2; B, W_up and both biases of the adapter are zero, and the
    prefix is P' = N(0, 1): the backbone with half a random prefix. Mao et al., 2022,
    https://aclanthology.org/2022.acl-long.433; inputs, sizes, activation and gates are those of the authors' code.

    Departures: every gate is a number for each token, where the authors' code takes the mean over all tokens, padding
    included. In a decoder that mean would see the target that is still to be written, and change with the batch. For
    the prefix this is a number for each query: it scores P_k as g q P_k and reads g P_v. An encoder-decoder has all
    three parts in both stacks, and prefix and LoRA in cross-attention too; the authors' code has BERT alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        length: PositiveInt,
        prefix_bottleneck: PositiveInt | None,
        rank: PositiveInt,
        input: Literal["normed", "output"],
        reduction: PositiveFloat,
        activation: Activation,
        shift_positions: bool,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, length, prefix_bottleneck, "random", None, "front", shift_positions, lr)
        d_model, size = backbone.d_model, bottleneck_size(backbone.d_model, None, reduction)
        self.loras, self.gates = nn.ModuleList(), nn.ModuleList()
        for linear in backbone.linears("query", "value"):
            self.loras.append(lora := GatedLoRA(linear.in_features, rank, linear.out_features))
            linear.change(partial(add_update, lora))
        self.adapters = add_adapters(
            backbone, lambda: GatedAdapter(d_model, size, activation), "pfeiffer", input, cross_attention=False
        )
        self.gate_prefixes()
        self.to(backbone.model.device)

    def gate_prefixes(self) -> None:
        """Gives each attention module a gate, which reads what enters the module's query map."""
        for attention in self.backbone.all_attentions():
            inside = {id(module) for module in attention.module.modules()}
            (query,) = [linear for linear in self.backbone.linears("query") if id(linear.module) in inside]
            self.gates.append(gate := Gate(query.in_features))
            query.change_input(gate.remember)
            attention.gate_front(gate.of_remembered)

    def export(self) -> None:
        """None: HF peft has no gates."""


class Gate(nn.Linear):
    """sigmoid(w h + c), a number for each token."""

    def __init__(self, width: int):
        super().__init__(width, 1)
        nn.init.normal_(self.weight, std=GATE_STD)
        nn.init.zeros_(self.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., 1] for hidden [..., width]."""
        return super().forward(hidden).sigmoid()

    def remember(self, hidden: Tensor) -> Tensor:
        """`hidden` [B, T, width] as it is, kept for `of_remembered`."""
        self.read = hidden
        return hidden

    def of_remembered(self) -> Tensor:
        """[B, T] for what was kept last."""
        return self(self.read.float()).squeeze(-1)


class GatedLoRA(nn.Module):
    """g B A x, with A [r, in] as LoRA starts it and B [out, r] zero."""

    def __init__(self, d_in: int, rank: int, d_out: int):
        super().__init__()
        self.A = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, d_in), a=5**0.5))
        self.B, self.gate = nn.Parameter(torch.zeros(d_out, rank)), Gate(d_in)

    def forward(self, x: Tensor) -> Tensor:
        """[..., out] for x [..., in]."""
        return self.gate(x) * (x @ self.A.T @ self.B.T)


def add_update(lora: GatedLoRA, x: Tensor, y: Tensor) -> Tensor:
    """y + g B A x, [..., out]."""
    return y + lora(x.float()).to(y.dtype)


class GatedAdapter(Bottleneck):
    """g W_up f(W_down z)."""

    def __init__(self, d_model: int, size: int, activation: Activation):
        super().__init__(*linear_maps(d_model, size), activation)
        self.gate = Gate(d_model)

    def forward(self, z: Tensor) -> Tensor:
        """[..., d_model] for z [..., d_model]."""
        return (self.gate(z.float()) * super().forward(z.float())).to(z.dtype)
