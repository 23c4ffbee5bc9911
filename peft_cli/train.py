"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from peft_cli.backbone import Backbone, Encoded
from peft_cli.data import Example
from peft_cli.method import Method


@dataclass(frozen=True)
class Recipe:
    """How a method is trained; conf/train tells what each key means."""

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


def train(
    backbone: Backbone,
    method: Method,
    examples: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    metric: Callable[[Sequence[Example]], float],
    log: Callable[[dict], None],
) -> dict:
    """Trains `method` on `examples`, leaves it in its best state, and returns when that was and how long it took.

    The best state has the lowest loss or the highest `metric` on `validation`, step 0 included; where nothing is
    validated it is the last one. `log` gets a row for each step (seconds without validation) and each validation.
    """
    optimizer = torch.optim.AdamW(method.param_groups(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, recipe))
    batches = draw_batches(backbone.encode(examples), recipe.batch_size)
    best = Best(method, recipe, validator(backbone, method, validation, recipe, metric), log)
    best.validate(0)
    start = time.perf_counter()
    for step in range(1, recipe.steps + 1):
        begin = time.perf_counter()
        backbone.model.train(recipe.dropout)
        method.train()
        loss = backward(backbone, method, next(batches), recipe)
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(method.parameters(), recipe.clip)
        lr = schedule.get_last_lr()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        log({"step": step, "loss": loss, "lr": lr, "step_seconds": time.perf_counter() - begin})
        if best.is_due(step) and not best.validate(step):
            break
    best.restore()
    backbone.model.eval()
    method.eval()
    return {"steps": step, "train_seconds": time.perf_counter() - start, **best.found()}


def backward(backbone: Backbone, method: Method, batch: Sequence[Encoded], recipe: Recipe) -> float:
    """Adds the gradients of one batch's loss, and returns it; the parts of an accumulated batch add up to the whole."""
    total, value = scale(batch, recipe), 0.0
    for i in range(recipe.accumulation):
        if part := batch[i :: recipe.accumulation]:
            loss = summed_loss(backbone, method, part) / total
            loss.backward()
            value += loss.item()
    return value


def summed_loss(backbone: Backbone, method: Method, rows: Sequence[Encoded]) -> Tensor:
    """The cross-entropy in nats, summed over all target tokens (or classes) of `rows`; the squared error of numbers."""
    logits, targets = backbone.forward(method.inputs(backbone.batch(rows)))
    if targets.is_floating_point():
        return F.mse_loss(logits[:, 0].float(), targets, reduction="sum")
    return F.cross_entropy(logits.float(), targets, reduction="sum")


def scale(rows: Sequence[Encoded], recipe: Recipe) -> int:
    """What a summed loss is divided by: the target tokens, or with loss=target_sum the examples."""
    if recipe.loss == "target_sum":
        return len(rows)
    return sum(map(n_targets, rows))


def n_targets(row: Encoded) -> int:
    """How many predictions are scored: the tokens of the target, or what a head says."""
    return len(row.target) if isinstance(row.target, list) else 1


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate after `step` steps as a share of its peak: up in the warm-up, then level or down to zero."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return 1.0
    return (recipe.steps - step) / max(1, recipe.steps - recipe.warmup_steps)


def draw_batches(rows: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Batches of exactly `size` rows for ever: epoch after epoch, each in an order of its own, with no seam between."""
    pool: list[int] = []
    while True:
        while len(pool) < size:
            pool += torch.randperm(len(rows)).tolist()
        yield [rows[i] for i in pool[:size]]
        del pool[:size]


def validator(
    backbone: Backbone,
    method: Method,
    examples: Sequence[Example],
    recipe: Recipe,
    metric: Callable[[Sequence[Example]], float],
) -> Callable[[], float] | None:
    """What tells how good the method is on `examples`; None where nothing is to be validated."""
    if not examples or recipe.validate_every is None:
        return None
    if recipe.select == "metric":
        return lambda: metric(examples)
    rows = backbone.encode(examples)

    @torch.no_grad()
    def loss() -> float:
        backbone.model.eval()
        method.eval()
        parts = [rows[i : i + recipe.batch_size] for i in range(0, len(rows), recipe.batch_size)]
        return sum(summed_loss(backbone, method, part).item() for part in parts) / scale(rows, recipe)

    return loss


class Best:
    """The best state of a method so far, by what `validator` says."""

    def __init__(
        self, method: Method, recipe: Recipe, validator: Callable[[], float] | None, log: Callable[[dict], None]
    ):
        self.method, self.recipe, self.validator, self.log = method, recipe, validator, log
        self.step, self.value, self.state, self.worse = None, None, None, 0

    def is_due(self, step: int) -> bool:
        """Whether `step` ends with a validation."""
        return self.validator is not None and (step % self.recipe.validate_every == 0 or step == self.recipe.steps)

    def validate(self, step: int) -> bool:
        """Validates, keeps the state if it is the best, and returns whether training should go on."""
        if self.validator is None:
            return True
        value = self.validator()
        self.log({"step": step, f"validation_{self.recipe.select}": value})
        sign = 1 if self.recipe.select == "metric" else -1
        if self.value is None or sign * value > sign * self.value:
            self.step, self.value, self.worse = step, value, 0
            self.state = {name: tensor.detach().clone() for name, tensor in self.method.state_dict().items()}
        else:
            self.worse += 1
        return self.recipe.patience is None or self.worse < self.recipe.patience

    def restore(self) -> None:
        """Puts the method back into its best state."""
        if self.state is not None:
            self.method.load_state_dict(self.state)

    def found(self) -> dict:
        """The step of the best state and its value, null where nothing was validated."""
        return {"best_step": self.step, f"best_validation_{self.recipe.select}": self.value}
