"""LoRA (Hu et al., 2021, https://arxiv.org/abs/2106.09685)."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class LoRA(Method):
    """y + alpha/r B A x for every linear map y = W x of `parts`, with A [r, in] and B [out, r].

    At step 0, A is Kaiming-uniform (a = sqrt(5), as in the authors' code) and B is zero, so the backbone is unchanged.
    `dropout` acts on x, in training. Hu et al., 2021, https://arxiv.org/abs/2106.09685.

    Departure: where a family computes query, key and value in one product (GPT-2), each part has an A and a B of its
    own, as in the paper and the authors' code; HF peft has one pair for the fused map. The update is never merged into
    W: it stays a method's own tensors.
    """

    def __init__(
        self,
        backbone: Backbone,
        rank: PositiveInt,
        alpha: PositiveFloat,
        dropout: NonNegativeFloat,
        parts: Annotated[list[str], Field(min_length=1)],
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        if not parts or len(set(parts)) < len(parts):
            names = ", ".join(backbone.family.linears)
            raise ValueError(f"method.parts=[{', '.join(parts)}] has to name at least one of {names}, each once")
        self.scale, self.dropout, self.linears = alpha / rank, dropout, backbone.linears(*parts)
        self.A, self.B = nn.ParameterList(), nn.ParameterList()
        device = backbone.model.device
        for i, linear in enumerate(self.linears):
            start = nn.init.kaiming_uniform_(torch.empty(rank, linear.in_features), a=5**0.5)
            self.A.append(nn.Parameter(start.to(device)))
            self.B.append(nn.Parameter(torch.zeros(linear.out_features, rank, device=device)))
            linear.change(partial(self.add, i))

    def add(self, i: int, x: Tensor, y: Tensor) -> Tensor:
        """What map `i` returns for x [..., in] in place of y [..., out]."""
        x = F.dropout(x, self.dropout, self.training)
        return y + self.scale * (x @ self.A[i].to(x.dtype).T @ self.B[i].to(x.dtype).T)

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's LoRA, one pair for each module: slices of a fused map (GPT-2) become blocks of a larger pair."""
        modules: dict[str, list[int]] = {}
        for i, linear in enumerate(self.linears):
            modules.setdefault(self.backbone.name_of(linear.module), []).append(i)
        rank = max(map(len, modules.values())) * len(self.A[0])
        tensors: dict[str, Tensor] = {}
        for name, members in modules.items():
            down = torch.zeros(rank, self.linears[members[0]].in_features)
            up = torch.zeros(self.linears[members[0]].module_out, rank)
            for block, i in enumerate(members):
                columns = slice(block * len(self.A[i]), (block + 1) * len(self.A[i]))
                down[columns] = self.A[i].detach().cpu()
                up[self.linears[i].columns, columns] = self.B[i].detach().cpu()
            tensors |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
        settings = {
            "peft_type": "LORA", "task_type": self.backbone.task_type, "r": rank, "lora_alpha": self.scale * rank,
            "target_modules": sorted(modules), "fan_in_fan_out": self.linears[0].is_transposed, "bias": "none",
        }  # fmt: skip
        return settings, tensors
