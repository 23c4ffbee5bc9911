"""What a run costs: parameters, operations, memory, time, energy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from peft_cli.backbone import Backbone
from peft_cli.data import Example
from peft_cli.method import Method
from peft_cli.recipe import Recipe
from peft_cli.run_folder.usage import PeakMemory, counted, energy
from peft_cli.speed import speed_up
from peft_cli.train import step

UNTIMED_STEPS = 3  # the first steps pay for what is set up once


class Meter:
    """Measures one run, from before its training to after its predictions."""

    def __init__(self, backbone: Backbone, method: Method):
        self.backbone, self.method = backbone, method
        self.params_backbone = backbone.n_parameters
        self.params_trained = count(method.parameters())
        self.step_seconds: list[float] = []
        self.exact: dict[str, int | None] = dict.fromkeys(
            ("flops_per_step", "saved_for_backward_bytes", "tokens_per_step")
        )
        self.memory = PeakMemory(backbone.model.device)
        self.energy_before = energy(backbone.model.device)
        self.start, self.seconds_before = time.perf_counter(), 0.0
        self.earlier: dict[str, float] = {}  # what processes that were killed have used

    def measure_step(self, examples: Sequence[Example], recipe: Recipe) -> None:
        """The operations of a step (forward and backward) on the first examples, and the bytes it saves in between.

        A product and its sum are two operations. Cached activations are there already, and nothing is compiled. Random
        state and gradients are left as they were.
        """
        everything = self.backbone.encode(examples)
        rows = (everything[: recipe.batch_size] * recipe.batch_size)[: recipe.batch_size]
        weights = [*self.backbone.model.parameters(), *self.method.parameters()]
        with speed_up(self.backbone, self.method.inputs, everything, replace(recipe, compile=None)):
            self.backbone.batch(rows)  # caches what it can
            self.backbone.model.train(recipe.dropout)
            self.method.train()
            with torch.random.fork_rng(), counted(weights) as counts:
                step(self.backbone, self.method, rows, recipe)
        self.method.zero_grad()
        self.exact = counts | {"tokens_per_step": sum(row.n_tokens for row in rows)}

    def read(self, generation_seconds_per_example: float, bytes_stored: int) -> dict[str, Any]:
        """All costs; a value that was not measured is null."""
        times, tokens = step_times(self.step_seconds), self.exact["tokens_per_step"]
        return {
            "params_backbone": self.params_backbone,
            "params_trained": self.params_trained,
            "params_stored": count(self.method.parameters()),
            "tensors_stored": len(self.method.state_dict()),
            "shares_batches": self.method.shares_batches,
            "positions_added": self.backbone.positions_added,
            "bytes_stored": bytes_stored,
            **self.exact,
            "step_seconds": times,
            "tokens_per_second": tokens / times["median"] if tokens and times["median"] else None,
            **self.used(),
            "generation_seconds_per_example": generation_seconds_per_example,
        }

    def used(self) -> dict[str, Any]:
        """Peak memory and energy, of earlier processes of this run too."""
        used: dict[str, Any] = self.memory.read()
        for name in ("peak_memory_bytes", "peak_reserved_bytes"):
            if name in used:
                used[name] = max(used[name], self.earlier.get(name, 0))
        after, before = energy(self.backbone.model.device), self.energy_before
        joules = None if after is None or before is None else after - before + (self.earlier.get("energy_joules") or 0)
        return used | {"energy_joules": joules}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that the costs of a run that was killed are those of all its processes."""
        seconds = self.seconds_before + time.perf_counter() - self.start
        return {"step_seconds": list(self.step_seconds), "seconds": seconds, "used": self.used()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to what a checkpoint kept."""
        self.step_seconds, self.seconds_before = list(state["step_seconds"]), state["seconds"]
        self.earlier = state["used"]


def count(parameters: Iterable[Tensor]) -> int:
    """The number of scalars in `parameters`."""
    return sum(p.numel() for p in parameters)


def step_times(seconds: list[float]) -> dict[str, float | None]:
    """Median, quartiles, 10th and 90th percentile of the seconds of a step; null where nothing trained.

    The first steps do not count, unless there are hardly any others.
    """
    timed = seconds[UNTIMED_STEPS:] if len(seconds) > UNTIMED_STEPS + 1 else seconds
    if not timed:
        return dict.fromkeys(("median", "p10", "p25", "p75", "p90"))
    timed = timed * 2 if len(timed) == 1 else timed  # quantiles need two values
    tenths, quarters = (quantiles(timed, n=n, method="inclusive") for n in (10, 4))
    return {"median": median(timed), "p10": tenths[0], "p25": quarters[0], "p75": quarters[-1], "p90": tenths[-1]}
