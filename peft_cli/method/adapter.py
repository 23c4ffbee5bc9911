"""Bottleneck adapters (Houlsby et al., 2019, https://arxiv.org/abs/1902.00751) and their later placements."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.backbone.hooks import FeedForward, Linear
from peft_cli.method import Method

Activation = Literal["relu", "gelu", "gelu_new", "swish", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),  # as transformers calls it
    "swish": F.silu,
    "tanh": torch.tanh,
}
INPUTS = {
    "houlsby": ("output",),
    "pfeiffer": ("normed", "output"),
    "parallel": ("residual", "normed"),
}  # of each placement, the authors' own first


class Adapter(Method):
    """y + s (W_up f(W_down z + b_down) + b_up): an MLP of `size` units after a part of a block, or parallel to it.

    With x -> norm(x + y), or x + y where the block normalises x before y = f(norm(x)) (GPT-2, Llama, T5):

        placement  y of                               input: what z is; the first is the authors' own
        houlsby    every attention and feed-forward   output: y
        pfeiffer   the feed-forward                   normed: norm(x + y), or x + y | output: y
        parallel   the feed-forward                   residual: x | normed: what the feed-forward reads, norm(x) or x

    At step 0, W_up and both b are zero, so the backbone is unchanged. `size` is absolute, or d_model / `reduction`.
    `scale` is s: a number (4 in the scaled parallel adapter of He et al.), or null for one of each adapter that trains
    and starts at 1. `cross_attention` gives houlsby an adapter after cross-attention too. Houlsby et al., 2019,
    https://arxiv.org/abs/1902.00751; Pfeiffer et al., 2021, https://arxiv.org/abs/2005.00247, with the input of
    AdapterHub and of He et al.'s code; He et al., 2022, https://arxiv.org/abs/2110.04366.

    Departures: W_up starts at zero, where Houlsby et al. start near zero, so that training starts from the backbone
    itself; the normalisations stay frozen, where they train them. Their model has no cross-attention.
    """

    def __init__(
        self,
        backbone: Backbone,
        placement: Literal["houlsby", "pfeiffer", "parallel"],
        input: Literal["output", "normed", "residual"] | None,
        size: PositiveInt | None,
        reduction: PositiveFloat | None,
        activation: Activation,
        scale: PositiveFloat | None,
        cross_attention: bool,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        d_model, units = backbone.d_model, bottleneck_size(backbone.d_model, size, reduction)
        adapters = add_adapters(
            backbone,
            lambda: Bottleneck(*linear_maps(d_model, units), activation, scale),
            placement,
            input,
            cross_attention,
        )
        self.adapters = adapters.to(backbone.model.device)


class Bottleneck(nn.Module):
    """s (W_up f(W_down z + b_down) + b_up) from two maps, in fp32; s trains where it is None."""

    def __init__(self, down: nn.Module, up: nn.Module, activation: Activation, scale: float | None = 1.0):
        super().__init__()
        self.down, self.up, self.activation = down, up, ACTIVATIONS[activation]
        self.scale = nn.Parameter(torch.ones(())) if scale is None else scale

    def forward(self, z: Tensor) -> Tensor:
        """[..., d_model] for z [..., d_model], in z's dtype."""
        return (self.scale * self.up(self.activation(self.down(z.float())))).to(z.dtype)


def linear_maps(d_model: int, size: int) -> tuple[nn.Linear, nn.Linear]:
    """A map [size, d_model] that starts as torch's do, and [d_model, size] of zeros; both biases are zero."""
    down, up = nn.Linear(d_model, size), nn.Linear(size, d_model)
    for zero in (down.bias, up.weight, up.bias):
        nn.init.zeros_(zero)
    return down, up


def bottleneck_size(d_model: int, size: int | None, reduction: float | None) -> int:
    """The units of a bottleneck: `size`, or d_model / `reduction`; raises ValueError unless one of them is given."""
    if size is not None and reduction is None:
        return size
    if reduction is not None and size is None:
        return max(1, round(d_model / reduction))
    given = f"method.size={size} and method.reduction={reduction}".replace("None", "null")
    raise ValueError(f"{given}: give one of them, and null for the other")


def add_adapters(
    backbone: Backbone, make: Callable[[], nn.Module], placement: str, input: str | None, cross_attention: bool
) -> nn.ModuleList:
    """Puts what `make` returns at every place of `placement`, as `Adapter` explains it; returns all of them.

    Raises ValueError for an input that a placement does not have.
    """
    if input is not None and input not in INPUTS[placement]:
        choices = " or ".join([*INPUTS[placement], "null"])
        raise ValueError(f"method.placement={placement} has no method.input={input}; it has to be {choices}")
    adapters = nn.ModuleList()
    for linear in attention_outputs(backbone, cross_attention) if placement == "houlsby" else []:
        adapters.append(adapter := make())
        linear.change(partial(add_to_output, adapter))
    for part in backbone.feed_forwards():
        adapters.append(adapter := make())
        add_to_feed_forward(part, adapter, placement, input or INPUTS[placement][0])
    return adapters


def add_to_feed_forward(part: FeedForward, adapter: nn.Module, placement: str, input: str) -> None:
    """Adds to what a feed-forward returns what `adapter` makes of its input."""
    if input == "output":
        part.last.change(partial(add_to_output, adapter))
    elif placement == "pfeiffer":
        part.last.change_with(part.entry, partial(add_to_sum, adapter, part))
    else:
        part.last.change_with(part.entry if input == "residual" else part.first, partial(add_parallel, adapter))


def attention_outputs(backbone: Backbone, cross_attention: bool) -> list[Linear]:
    """The output map of every attention, or of all but cross-attention."""
    across = backbone.attentions().get("across", []) if not cross_attention else []
    left_out = {id(module) for attention in across for module in attention.module.modules()}
    return [linear for linear in backbone.linears("attention_output") if id(linear.module) not in left_out]


def add_to_output(adapter: nn.Module, _: Tensor, y: Tensor) -> Tensor:
    """y + adapter(y), [..., d_model]."""
    return y + adapter(y)


def add_to_sum(adapter: nn.Module, part: FeedForward, x: Tensor, y: Tensor) -> Tensor:
    """y + adapter(norm(x + y)), [..., d_model], or without the norm where it comes first."""
    return y + adapter(part.normalized_sum(x, y))


def add_parallel(adapter: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """y + adapter(z), [..., d_model]."""
    return y + adapter(z)
