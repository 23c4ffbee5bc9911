"""(IA)3 (Liu et al., 2022, https://arxiv.org/abs/2205.05638)."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class IA3(Method):
    """l_k * K, l_v * V and l_ff * f(W_1 x): keys, values and the feed-forward's inner activations, each scaled.

    All l are 1 at step 0, so the backbone is unchanged. One vector [out] for each key and value map, one [in] for what
    enters each second feed-forward map. Liu et al., 2022, https://arxiv.org/abs/2205.05638. Departure: their losses
    beside the likelihood (unlikelihood, length normalisation) belong to their recipe and are not used.
    """

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        super().__init__(backbone, lr)
        self.scales, self.linears = nn.ParameterList(), backbone.linears("key", "value", "ffn_output")
        self.n_outputs = len(backbone.linears("key", "value"))
        for linear in self.linears[: self.n_outputs]:
            scale = self.own(linear.out_features)
            linear.change(lambda x, y, i=scale: y * self.scales[i].to(y.dtype))
        for linear in self.linears[self.n_outputs :]:
            scale = self.own(linear.in_features)
            linear.change_input(lambda x, i=scale: self.scaled(i, x))

    def own(self, width: int) -> int:
        """Makes a vector of ones [width]; returns its number."""
        self.scales.append(nn.Parameter(torch.ones(width, device=self.backbone.model.device)))
        return len(self.scales) - 1

    def scaled(self, i: int, x: Tensor) -> Tensor:
        """x [..., width] times vector `i`."""
        return x * self.scales[i].to(x.dtype)

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's (IA)3; in a fused map (GPT-2) the slices that are not scaled have ones."""
        outputs, inputs = {}, {}
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
