"""Bottleneck adapters (Houlsby et al., 2019, https://arxiv.org/abs/1902.00751) and their later placements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "swish": F.silu, "tanh": torch.tanh}


class Adapter(Method):
    """y + s (W_up f(W_down z + b_down) + b_up): an MLP of `size` units in the residual stream.

    `placement=houlsby`: after every attention and every feed-forward, on what they return (z = y), before the residual
    sum. `pfeiffer` (https://arxiv.org/abs/2005.00247): after the feed-forward alone. `parallel` (He et al., 2022,
    https://arxiv.org/abs/2110.04366): beside the feed-forward, z is what enters it. `size` is absolute, or d_model /
    `reduction`. `scale` is s: a number (4 in the scaled parallel adapter of He et al.), or null for a trained one that
    starts at 1. At step 0, W_up and both b are zero, so the backbone is unchanged. Houlsby et al., 2019,
    https://arxiv.org/abs/1902.00751.

    Departures: W_up starts at zero, where Houlsby et al. start near zero, so that training starts from the backbone
    itself; the normalisations stay frozen, where they train them. In a block with cross-attention, houlsby has three
    adapters.
    """

    def __init__(
        self,
        backbone: Backbone,
        placement: Literal["houlsby", "pfeiffer", "parallel"],
        size: PositiveInt | None,
        reduction: PositiveFloat | None,
        activation: Literal["relu", "gelu", "swish", "tanh"],
        scale: PositiveFloat | None,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        if (size is None) == (reduction is None):
            raise ValueError(
                f"method.size={size} and method.reduction={reduction}: give one of them, and null for the other"
            )
        self.size = size or max(1, round(backbone.d_model / reduction))
        self.activation, self.adapters = ACTIVATIONS[activation], nn.ModuleList()
        self.scale = nn.Parameter(torch.ones(())) if scale is None else scale
        if placement == "houlsby":
            self.after("attention_output")
        if placement == "parallel":
            self.in_parallel()
        else:
            self.after("ffn_output")
        self.to(backbone.model.device)

    def bottleneck(self) -> nn.Module:
        """One adapter: down [size, d_model], and up [d_model, size], which is zero."""
        return Bottleneck(nn.Linear(self.backbone.d_model, self.size), nn.Linear(self.size, self.backbone.d_model))

    def after(self, part: str) -> None:
        """Puts an adapter on what each map of `part` returns."""
        for linear in self.backbone.linears(part):
            self.adapters.append(adapter := self.bottleneck())
            linear.change(lambda x, y, adapter=adapter: y + self.adapted(adapter, y))

    def in_parallel(self) -> None:
        """Puts an adapter from what enters each feed-forward to what it returns."""
        entries, exits = self.backbone.linears("ffn_input"), self.backbone.linears("ffn_output")
        for entry, exit in zip(entries[:: len(entries) // len(exits)], exits, strict=True):  # a gated one enters twice
            self.adapters.append(adapter := self.bottleneck())
            entry.change_input(adapter.remember)
            exit.change(lambda x, y, adapter=adapter: y + self.adapted(adapter, adapter.entered))

    def adapted(self, adapter: nn.Module, z: Tensor) -> Tensor:
        """What is added for z [..., d_model]."""
        return (self.scale * adapter(z.float(), self.activation)).to(z.dtype)


class Bottleneck(nn.Module):
    """W_up f(W_down z + b_down) + b_up, from two maps of which the second is made zero."""

    def __init__(self, down: nn.Module, up: nn.Module):
        super().__init__()
        self.down, self.up = down, up
        nn.init.zeros_(down.bias)
        nn.init.zeros_(up.bias)
        nn.init.zeros_(up.weight if isinstance(up, nn.Linear) else up.left)

    def forward(self, z: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        """[..., d_model] for z [..., d_model]."""
        return self.up(activation(self.down(z)))

    def remember(self, z: Tensor) -> Tensor:
        """z [..., d_model] as it is, kept as `entered`."""
        self.entered = z
        return z
