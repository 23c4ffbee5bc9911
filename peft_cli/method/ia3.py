"""(IA)3 (Liu et al., 2022, https://arxiv.org/abs/2205.05638)."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class IA3(Method):
    """l_k * K, l_v * V and l_ff * f(W_1 x): keys, values and the feed-forward's inner activations, each scaled.

    All l are 1 at step 0, so the backbone is unchanged. One vector [out] for each key and value map, one [in] for what
    enters each second feed-forward map. Liu et al., 2022, https://arxiv.org/abs/2205.05638. Departure: their further
    losses (unlikelihood, length normalisation) belong to their recipe and are not used.
    """

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        super().__init__(backbone, lr)
        outputs, inputs = backbone.linears("key", "value"), backbone.linears("ffn_output")
        self.scales, self.linears, self.n_outputs = nn.ParameterList(), [*outputs, *inputs], len(outputs)
        for linear in outputs:
            linear.change(partial(scale_output, self.add_scale(linear.out_features)))
        for linear in inputs:
            linear.change_input(partial(scale_input, self.add_scale(linear.in_features)))

    def add_scale(self, width: int) -> nn.Parameter:
        """Another trained vector [width], of ones."""
        self.scales.append(scale := nn.Parameter(torch.ones(width, device=self.backbone.model.device)))
        return scale

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's (IA)3; in a fused map (GPT-2) the slices that are not scaled have ones."""
        outputs: dict[str, Tensor] = {}
        inputs: dict[str, Tensor] = {}
        for i, linear in enumerate(self.linears):
            name, scale = self.backbone.name_of(linear.module), self.scales[i].detach().cpu()
            if i < self.n_outputs:
                outputs.setdefault(name, torch.ones(linear.module_out, 1))[linear.columns, 0] = scale
            else:
                inputs[name] = scale.unsqueeze(0)
        settings = {
            "peft_type": "IA3", "task_type": self.backbone.task_type, "target_modules": sorted([*outputs, *inputs]),
            "feedforward_modules": sorted(inputs), "fan_in_fan_out": self.linears[0].is_transposed,
        }  # fmt: skip
        return settings, {f"base_model.model.{name}.ia3_l": scale for name, scale in (outputs | inputs).items()}


def scale_output(scale: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """y [..., out] times `scale` [out]."""
    return y * scale.to(y.dtype)


def scale_input(scale: Tensor, x: Tensor) -> Tensor:
    """x [..., in] times `scale` [in]."""
    return x * scale.to(x.dtype)
