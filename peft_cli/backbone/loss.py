"""What a training step makes smaller."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from peft_cli.backbone.targets import IGNORE


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of logits [N, V] and targets [N] in nats, or the squared error of numbers, summed.

    A target that is IGNORE does not count.
    """
    if targets.is_floating_point():
        return F.mse_loss(logits[:, 0].float(), targets, reduction="sum")
    return CrossEntropy.apply(logits, targets)


class CrossEntropy(torch.autograd.Function):
    """The summed cross-entropy in fp32. What it keeps becomes the gradient in place; torch makes two more [N, V]."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to nats."""
        logs = F.log_softmax(logits, -1, dtype=torch.float32)
        is_scored, places = (targets != IGNORE).unsqueeze(-1), targets.clamp(min=0).unsqueeze(-1)
        ctx.save_for_backward(logs, places, is_scored)
        ctx.dtype = logits.dtype
        return -(logs.gather(-1, places) * is_scored).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """What the model predicts less what is so, for the logits [N, V]."""
        logs, places, is_scored = ctx.saved_tensors
        predicted = logs.exp_()
        predicted.scatter_add_(-1, places, predicted.new_full(places.shape, -1.0))
        return predicted.mul_(gradient * is_scored).to(ctx.dtype), None
