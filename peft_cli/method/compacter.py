"""Compacter (Karimi Mahabadi et al., 2021, https://arxiv.org/abs/2106.04647)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method
from peft_cli.method.adapter import Activation, Bottleneck, add_adapters, bottleneck_size

RULE_STD = 1e-4  # of the shared A_i at step 0: phm_init_range in the authors' compacter.json


class Compacter(Method):
    """Adapters with maps W = sum_i A_i (x) (s_i t_i^T), i = 1..n: Kronecker products of shared and rank-one matrices.

    A_i [n, n] are shared by all maps of all adapters; s_i [in / n, 1] and t_i [1, out / n] belong to one map, as do its
    biases. Compacter has adapters after self-attention and feed-forward (`placement=houlsby`, and after cross-attention
    with `cross_attention`), Compacter++ after the feed-forward alone (`pfeiffer`); they read what it returns. d_model
    and the bottleneck have to be multiples of n. At step 0 the A_i are normal with a standard deviation of 1e-4, s_i
    and t_i Glorot-uniform and the biases zero, so that the backbone is unchanged but for rounding. Karimi Mahabadi et
    al., 2021, https://arxiv.org/abs/2106.04647; all of this as in the authors' code.

    Departure: the normalisations stay frozen, where that code trains them.
    """

    def __init__(
        self,
        backbone: Backbone,
        n: PositiveInt,
        placement: Literal["houlsby", "pfeiffer"],
        size: PositiveInt | None,
        reduction: PositiveFloat | None,
        activation: Activation,
        cross_attention: bool,
        lr: PositiveFloat,
    ):
        width = bottleneck_size(backbone.d_model, size, reduction)
        if backbone.d_model % n or width % n:
            raise ValueError(
                f"method.n={n} does not divide both d_model={backbone.d_model} and the bottleneck's {width}; "
                "choose method.n and method.size that do"
            )
        super().__init__(backbone, lr)
        self.rule = rule = nn.Parameter((RULE_STD * torch.randn(n, n, n)).to(backbone.model.device))
        adapters = add_adapters(
            backbone,
            lambda: Bottleneck(PHM(rule, backbone.d_model, width), PHM(rule, width, backbone.d_model), activation),
            placement,
            "output",
            cross_attention,
        )
        self.adapters = adapters.to(backbone.model.device)


def glorot(n: int, rows: int, columns: int) -> Tensor:
    """[n, rows, columns]: n matrices, each Glorot-uniform with gain sqrt(2), as in the authors' code."""
    return torch.stack([nn.init.xavier_uniform_(torch.empty(rows, columns), gain=2**0.5) for _ in range(n)])


class PHM(nn.Module):
    """x W + b with W [in, out] = sum_i A_i (x) (s_i t_i): parameterised hypercomplex multiplication of rank one."""

    def __init__(self, rule: nn.Parameter, d_in: int, d_out: int):
        super().__init__()
        n = len(rule)
        self.shared = (rule,)  # owned by the method, and stored once
        self.left = nn.Parameter(glorot(n, d_in // n, 1))  # s
        self.right = nn.Parameter(glorot(n, 1, d_out // n))  # t
        self.bias = nn.Parameter(torch.zeros(d_out))

    def forward(self, x: Tensor) -> Tensor:
        """[..., out] for x [..., in]."""
        (rule,) = self.shared
        n, a, b = len(rule), self.left.shape[1], self.right.shape[2]
        weight = torch.einsum("ijk,ial,ilb->jakb", rule, self.left, self.right).reshape(n * a, n * b)
        return x @ weight + self.bias
