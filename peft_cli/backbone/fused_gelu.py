"""What transformers computes step by step and torch computes at once."""

from __future__ import annotations

from torch import nn
from transformers.activations import NewGELUActivation


def fuse_gelu(model: nn.Module) -> None:
    """Makes each GELU by tanh (GPT-2's, T5 v1.1's) one kernel, which keeps its input alone for the backward pass.

    Step by step it is eight kernels, and several tensors of the feed-forward's width. Values are equal to rounding.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
