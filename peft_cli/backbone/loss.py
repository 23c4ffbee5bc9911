"""The loss of a step, and the logits that it needs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel


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


def logits_at(model: PreTrainedModel, inputs: dict[str, Tensor], index: Tensor) -> Tensor:
    """The logits [N, V] of `model` at `index` [N], which count the positions of all rows: b T + t.

    The vocabulary product runs on those N rows only: a hook picks them out of what enters the output embedding.
    """

    def pick(module: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0].flatten(0, 1)[index],)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits.view(-1, logits.shape[-1])
