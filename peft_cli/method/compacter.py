"""Compacter (Karimi Mahabadi et al., 2021, https://arxiv.org/abs/2106.04647)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method.adapter import Adapter, Bottleneck

RULE_STD = 0.01  # of the shared A_i at step 0


class Compacter(Adapter):
    """Adapters with maps W = sum_i A_i (x) (s_i t_i^T), i = 1..n: Kronecker products of shared and rank-one matrices.

    A_i [n, n] are shared by all maps of all adapters; s_i [in / n, 1] and t_i [1, out / n] belong to one map, as do its
    biases. Compacter has adapters after attention and feed-forward (`placement=houlsby`), Compacter++ after the
    feed-forward alone (`pfeiffer`). d_model and the bottleneck have to be multiples of n. At step 0 the A_i are
    N(0, 0.01), s_i and t_i Glorot-uniform, and the biases zero. Karimi Mahabadi et al., 2021,
    https://arxiv.org/abs/2106.04647.

    Departures: the s_i of every second map are zero at step 0, so that training starts from the backbone itself, where
    the authors' code starts near it; the normalisations stay frozen, where that code trains them.
    """

    def __init__(
        self,
        backbone: Backbone,
        n: PositiveInt,
        placement: Literal["houlsby", "pfeiffer"],
        size: PositiveInt | None,
        reduction: PositiveFloat | None,
        activation: Literal["relu", "gelu", "swish", "tanh"],
        lr: PositiveFloat,
    ):
        width = size or max(1, round(backbone.d_model / (reduction or 1)))
        if backbone.d_model % n or width % n:
            raise ValueError(
                f"method.n={n} does not divide both d_model={backbone.d_model} and the bottleneck's {width}; "
                "choose method.n and method.size that do"
            )
        self.n, self.rule = n, None
        super().__init__(backbone, placement, size, reduction, activation, scale=1.0, lr=lr)

    def bottleneck(self) -> nn.Module:
        """One adapter of two hypercomplex maps."""
        if self.rule is None:
            rule = RULE_STD * torch.randn(self.n, self.n, self.n)
            self.rule = nn.Parameter(rule.to(self.backbone.model.device))
        d_model = self.backbone.d_model
        return Bottleneck(PHM(self.rule, d_model, self.size), PHM(self.rule, self.size, d_model))


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
