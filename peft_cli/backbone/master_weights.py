"""Weights of a 16-bit model that train: their values, gradients and optimizer state are kept in fp32."""

from __future__ import annotations

import torch
from torch import nn


class MasterWeights:
    """Pairs of a 16-bit weight of the model and the fp32 weight that trains, of which it is the rounded value.

    Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740: an update below half of the last bit of a 16-bit
    weight is lost, and most updates of fine-tuning are.
    """

    def __init__(self) -> None:
        self.pairs: dict[nn.Parameter, nn.Parameter] = {}  # of the model -> that trains
        self.versions: dict[nn.Parameter, int] = {}  # of what trains, when it was rounded last
        self.in_training: set[nn.Parameter] = set()  # had a gradient; a fused optimizer raises no version

    def adopt(self, weight: nn.Parameter) -> nn.Parameter:
        """The weight that trains for one of the model: itself in fp32, its master where it has 16 bits."""
        weight.requires_grad_(True)
        if weight.dtype.itemsize >= 4:
            return weight
        if weight not in self.pairs:
            master = nn.Parameter(weight.detach().float())
            weight.register_post_accumulate_grad_hook(self.move_gradient)
            self.pairs[weight], self.versions[master] = master, master._version
        return self.pairs[weight]

    @torch.no_grad()
    def round_into_model(self) -> None:
        """Rounds each master that may have changed into its weight of the model."""
        for weight, master in self.pairs.items():
            if master in self.in_training or master._version != self.versions[master]:
                weight.copy_(master)
                self.versions[master] = master._version
            if master.grad is None:
                self.in_training.discard(master)

    def move_gradient(self, weight: nn.Parameter) -> None:
        """Adds the gradient of a weight to that of its master, in fp32."""
        if weight.grad is not None:
            own, master = weight.grad.float(), self.pairs[weight]
            master.grad = own if master.grad is None else master.grad + own
            weight.grad = None
            self.in_training.add(master)
