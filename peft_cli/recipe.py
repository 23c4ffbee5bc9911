"""The settings of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Recipe:
    """How a method is trained; the defaults, units and meaning of each key are in conf/train."""

    steps: PositiveInt
    batch_size: PositiveInt
    accumulation: PositiveInt
    schedule: Literal["linear", "constant"]
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat
    clip: PositiveFloat | None
    loss: Literal["token_mean", "target_sum"]
    dropout: bool
    validate_every: PositiveInt | None
    select: Literal["loss", "metric"]
    patience: PositiveInt | None
    checkpoint_seconds: NonNegativeFloat
    cache_gb: NonNegativeFloat
    checkpointing: bool
    compile: Literal["default", "reduce-overhead"] | None

    def rate(self, step: int) -> float:
        """The learning rate after `step` steps as a share of its peak: up in the warm-up, then level or down to 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        return (self.steps - step) / max(1, self.steps - self.warmup_steps)
