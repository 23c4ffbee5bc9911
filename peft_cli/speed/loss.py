"""The cross-entropy of a step, with one tensor of the size of the logits where torch makes three."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of logits [N, V] and targets [N] in nats, or the squared error of numbers, summed."""
    if targets.is_floating_point():
        return F.mse_loss(logits[:, 0].float(), targets, reduction="sum")
    return CrossEntropy.apply(logits, targets)


class CrossEntropy(torch.autograd.Function):
    """The summed cross-entropy in fp32. What it keeps becomes the gradient in place; torch makes two more [N, V]."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits [N, V] and targets [N] to nats."""
        logs = F.log_softmax(logits, -1, dtype=torch.float32)
        index = targets.unsqueeze(-1)
        ctx.save_for_backward(logs, index)
        ctx.dtype = logits.dtype
        return -logs.gather(-1, index).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The predicted probabilities less the targets', for the logits [N, V]."""
        logs, index = ctx.saved_tensors
        predicted = logs.exp_()
        predicted.scatter_add_(-1, index, predicted.new_full(index.shape, -1.0))
        return predicted.mul_(gradient).to(ctx.dtype), None
