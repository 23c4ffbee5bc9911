"""The training loop, and its one step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler

from peft_cli.backbone import Backbone, Batch, Encoded
from peft_cli.data import Example
from peft_cli.method import Method
from peft_cli.recipe import Recipe
from peft_cli.run_folder.checkpoint import Checkpoint, NoCheckpoint
from peft_cli.speed import speed_up
from peft_cli.speed.loss import summed_loss

ADAMW = partial(torch.optim.AdamW, fused=True)  # one pass over the weights, where torch's own choice makes ten
Metric = Callable[[Sequence[Example]], float]


def train(
    backbone: Backbone, method: Method, examples: Sequence[Example], validation: Sequence[Example], recipe: Recipe,
    metric: Metric | None = None, log: Callable[[dict], None] = lambda row: None, checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains `method` on `examples`, leaves it in its best state, and returns when that was and how long it took.

    The best state has the lowest loss or the highest `metric` on `validation`, step 0 included; where nothing is
    validated it is the last one. `log` gets a row for each step (seconds without validation) and each validation.
    Goes on from `checkpoint` to the tensors of a run without interruption. Raises ValueError for a loss that is not
    finite.
    """
    optimizer = ADAMW(method.param_groups(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    scaler = GradScaler(backbone.model.device.type, enabled=backbone.model.dtype == torch.float16)
    batches = Batches(backbone.encode(examples), recipe.batch_size)
    best = Best(method, recipe, validator(backbone, method, validation, recipe, metric), log)
    progress: Checkpoint | NoCheckpoint = checkpoint or NoCheckpoint()
    with speed_up(backbone, method.inputs, backbone.encode([*examples, *validation]), recipe):
        n = progress.restore(
            method=method, optimizer=optimizer, schedule=schedule, scaler=scaler, batches=batches, best=best
        )
        if n == 0:
            best.validate(0)
        while n < recipe.steps and not best.gives_up:
            n, begin = n + 1, time.perf_counter()
            backbone.model.train(recipe.dropout)
            method.train()
            loss = finite(step(backbone, method, next(batches), recipe, scaler.scale), f"loss of step {n}")
            scaler.unscale_(optimizer)
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(method.parameters(), recipe.clip)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            log({"step": n, "loss": loss, "lr": schedule.get_last_lr(), "step_seconds": time.perf_counter() - begin})
            schedule.step()
            if best.is_due(n):
                best.validate(n)
            progress.keep(n)
        progress.close()
        best.restore()
    method.eval()
    return {"steps": n, "train_seconds": progress.elapsed(), **best.summary()}


def step(
    backbone: Backbone, method: Method, rows: Sequence[Encoded], recipe: Recipe,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> float:  # fmt: skip
    """Adds the gradients of the loss of one batch, and returns it; the parts of an accumulated batch sum to the whole.

    `scale` multiplies what is differentiated, for a backbone in fp16.
    """
    value = 0.0
    for part in split_rows(rows, recipe.accumulation):
        batch = backbone.batch(part)
        loss = (batch_loss(backbone, method, batch) + method.extra_loss(batch)) / n_scored(rows, recipe)
        scale(loss).backward()
        value += loss.item()
    return value


def batch_loss(backbone: Backbone, method: Method, batch: Batch) -> Tensor:
    """The loss of a batch, summed over all target tokens, classes or numbers."""
    return summed_loss(*backbone.forward(method.inputs(batch)))


def split_rows(rows: Sequence[Encoded], n: int) -> list[Sequence[Encoded]]:
    """`rows` in at most `n` parts of like size, each of rows of like length, so that little is padding."""
    size = -(-len(rows) // n)
    ordered = rows if size == len(rows) else sorted(rows, key=lambda row: row.n_tokens)
    return [ordered[i : i + size] for i in range(0, len(rows), size)]


def n_scored(rows: Sequence[Encoded], recipe: Recipe) -> int:
    """What a summed loss is divided by: the target tokens, or with loss=target_sum the examples."""
    return len(rows) if recipe.loss == "target_sum" else sum(row.n_targets for row in rows)


def finite(value: float, name: str) -> float:
    """`value`; raises ValueError where it is not finite."""
    if not math.isfinite(value):
        raise ValueError(
            f"the {name} is {value}, so training cannot go on; lower method.lr, or take backbone.dtype=fp32"
        )
    return value


class Batches:
    """Batches of exactly `size` rows for ever: epoch after epoch, each in an order of its own, with no seam between."""

    def __init__(self, rows: Sequence[Encoded], size: int):
        self.rows, self.size = rows, size
        self.pool: list[int] = []  # the rows that come next

    def __next__(self) -> list[Encoded]:
        """The next batch."""
        while len(self.pool) < self.size:
            self.pool += torch.randperm(len(self.rows)).tolist()
        chosen, self.pool = self.pool[: self.size], self.pool[self.size :]
        return [self.rows[i] for i in chosen]

    def state_dict(self) -> dict[str, Any]:
        """The position in the data."""
        return {"pool": self.pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a position."""
        self.pool = list(state["pool"])


def validator(
    backbone: Backbone, method: Method, examples: Sequence[Example], recipe: Recipe, metric: Metric | None
) -> Callable[[], float] | None:
    """A function that validates the method on `examples`; None where nothing is to be validated."""
    if not examples or recipe.validate_every is None:
        return None
    if recipe.select == "metric":
        if metric is None:
            raise ValueError("train.select=metric needs a metric")
        return partial(metric, examples)
    rows = backbone.encode(examples)

    @torch.no_grad()
    def loss() -> float:
        backbone.model.eval()
        method.eval()
        batches = map(backbone.batch, split_rows(rows, -(-len(rows) // recipe.batch_size)))
        return sum(batch_loss(backbone, method, batch).item() for batch in batches) / n_scored(rows, recipe)

    return loss


class Best:
    """The best state of a method so far, by `validator`."""

    def __init__(
        self, method: Method, recipe: Recipe, validator: Callable[[], float] | None, log: Callable[[dict], None]
    ):
        self.method, self.recipe, self.validator, self.log = method, recipe, validator, log
        self.step: int | None = None
        self.value: float | None = None
        self.tensors: dict[str, Tensor] | None = None
        self.worse = 0  # validations since the best one

    def is_due(self, step: int) -> bool:
        """Whether `step` ends with a validation, where there is anything to validate."""
        every = self.recipe.validate_every
        return step == self.recipe.steps or (every is not None and step % every == 0)

    @property
    def gives_up(self) -> bool:
        """Whether too many validations in a row found nothing better."""
        return self.recipe.patience is not None and self.worse >= self.recipe.patience

    def validate(self, step: int) -> None:
        """Validates, and keeps the state if it is the best."""
        if self.validator is None:
            return
        value, name = self.validator(), f"validation_{self.recipe.select}"
        self.log({"step": step, name: value})
        finite(value, f"{name.replace('_', ' ')} after step {step}")
        sign = 1 if self.recipe.select == "metric" else -1
        if self.value is None or sign * value > sign * self.value:
            self.step, self.value, self.worse = step, value, 0
            self.tensors = {name: tensor.detach().clone() for name, tensor in self.method.state_dict().items()}
        else:
            self.worse += 1

    def restore(self) -> None:
        """Puts the method back into its best state."""
        if self.tensors is not None:
            self.method.load_state_dict(self.tensors)

    def summary(self) -> dict[str, Any]:
        """The step of the best state and its value, null where nothing was validated."""
        return {"best_step": self.step, f"best_validation_{self.recipe.select}": self.value}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"step": self.step, "value": self.value, "worse": self.worse, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to what a checkpoint kept."""
        self.step, self.value, self.worse, self.tensors = (
            state[name] for name in ("step", "value", "worse", "tensors")
        )
