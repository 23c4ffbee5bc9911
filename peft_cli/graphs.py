"""CUDA graphs of training steps: forward and backward in one launch, for the few shapes that batches are padded to.

A small step on a GPU is bound by the launches of its kernels, not by their work. A graph repeats the kernels of one
step on the same tensors, so the batch is copied into tensors that stay, and gradients are added where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peft_cli.backbone import IGNORE, Backbone, Encoded
from peft_cli.loss import summed
from peft_cli.method import Method

TOKENS, TARGETS = 16, 32  # lengths are filled up to multiples of the first, scored positions to multiples of the second
WARM_UPS = 3  # steps before a capture, in which libraries set themselves up


class Graphs:
    """Adds the gradients of a batch by CUDA graphs, one for each shape.

    Raises ValueError for a backbone that is on no GPU, and where a method's step cannot be captured.
    """

    def __init__(self, backbone: Backbone, method: Method):
        if backbone.model.device.type != "cuda":
            raise ValueError(
                f"train.cuda_graphs=true is for a GPU, and the backbone is on {backbone.model.device}; "
                "take train.cuda_graphs=false"
            )
        if backbone.form != "classes":
            raise ValueError(
                f"train.cuda_graphs=true cannot capture a step with backbone.form={backbone.form}; take "
                "train.cuda_graphs=false"
            )
        self.parameters = list(method.parameters())
        self.step = Step(backbone, method)
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        self.captured: dict[tuple, tuple[torch.cuda.CUDAGraph, dict[str, Any], Tensor]] = {}

    def __call__(self, backbone: Backbone, method: Method, rows: Sequence[Encoded], total: int) -> float:
        """Adds the gradients of the loss of `rows`, summed and divided by `total`, and returns it."""
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        batch, most = padded(backbone, rows)
        batch["total"] = torch.tensor(float(total), device=backbone.model.device)
        shape = most, *((name, tensor.shape) for name, tensor in leaves(batch))
        if shape not in self.captured:
            self.captured[shape] = self.capture(batch, most)
        graph, static, loss = self.captured[shape]
        for (_, there), (_, here) in zip(leaves(static), leaves(batch), strict=True):
            there.copy_(here)
        graph.replay()
        return loss.item()

    def capture(self, batch: dict[str, Any], most: int | None) -> tuple[torch.cuda.CUDAGraph, dict[str, Any], Tensor]:
        """The graph of a step on tensors like those of `batch`, those tensors, and its loss. Nothing else changes."""
        static = like(batch)
        graph = torch.cuda.CUDAGraph()
        try:
            with self.apart():
                with torch.no_grad():
                    self.step.loss(static, most)  # what a method keeps of earlier steps is of another stream
                for _ in range(WARM_UPS):
                    self.step(static, most)
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                loss = self.step(static, most)
        except RuntimeError as error:
            raise ValueError(
                "train.cuda_graphs=true: a step of this method cannot be captured "
                f"({str(error).strip().splitlines()[0].rstrip('.')}); take train.cuda_graphs=false"
            ) from error
        return graph, static, loss

    @contextmanager
    def apart(self) -> Iterator[None]:
        """On a stream apart; gradients and random states are afterwards what they were."""
        gradients = [p.grad.clone() for p in self.parameters]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.random.fork_rng(devices=[self.parameters[0].device]), torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream().wait_stream(self.stream)
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad.copy_(gradient)


class Step:
    """Forward and backward of a padded batch, in which nothing waits for the device."""

    def __init__(self, backbone: Backbone, method: Method):
        self.backbone, self.method = backbone, method

    def loss(self, batch: dict[str, Any], most: int | None) -> Tensor:
        """The loss of a batch as `padded` makes it, divided by its `total`."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "total"}
        return summed(*self.backbone.forward(self.method.inputs(inputs), most)) / batch["total"]

    def __call__(self, batch: dict[str, Any], most: int | None) -> Tensor:
        """The same, after its gradients were added."""
        loss = self.loss(batch, most)
        loss.backward()
        return loss.detach()


def padded(backbone: Backbone, rows: Sequence[Encoded]) -> tuple[dict[str, Any], int | None]:
    """The batch of `rows`, filled up to one of a few shapes, and how many positions are scored (None for a head)."""
    batch, encoder = backbone.batch(rows), backbone.encoder
    longest = encoder.max_source_tokens + (encoder.max_target_tokens if backbone.family.is_decoder_only else 0)
    read = missing(batch["input_ids"], longest)
    written = missing(batch["labels"], encoder.max_target_tokens) if backbone.config.is_encoder_decoder else read
    batch["input_ids"] = F.pad(batch["input_ids"], (0, read), value=backbone.pad)
    batch["attention_mask"] = F.pad(batch["attention_mask"], (0, read))
    if "frozen" in batch:
        more = {"encoder": read, "decoder": written}
        batch["frozen"] = {stack: F.pad(h, (0, 0, 0, more[stack])) for stack, h in batch["frozen"].items()}
    if not backbone.family.generates:
        return batch, None
    batch["labels"] = F.pad(batch["labels"], (0, written), value=IGNORE)
    n_targets = sum(len(row.target) for row in rows)
    return batch, min(up(n_targets, TARGETS, n_targets + TARGETS), batch["labels"].numel())


def missing(tensor: Tensor, most: int) -> int:
    """How many tokens `tensor` [B, T] is filled up with."""
    return up(tensor.shape[1], TOKENS, most) - tensor.shape[1]


def up(n: int, step: int, most: int) -> int:
    """`n` rounded up to a multiple of `step`, but to no more than `most`, which is as large as any `n`."""
    return min(-(-n // step) * step, max(most, n))


def leaves(batch: dict[str, Any]) -> list[tuple[str, Tensor]]:
    """All tensors of a batch by name, those of what is frozen by their stack."""
    frozen = batch.get("frozen", {})
    return [*((name, tensor) for name, tensor in batch.items() if name != "frozen"), *frozen.items()]


def like(batch: dict[str, Any]) -> dict[str, Any]:
    """A copy of a batch, in tensors of its own."""
    return {
        name: like(value) if isinstance(value, dict) else value.clone(memory_format=torch.contiguous_format)
        for name, value in batch.items()
    }
