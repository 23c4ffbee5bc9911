"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from peft_cli.backbone import Backbone, Encoded
from peft_cli.backbone.acceleration import slow_down, speed_up
from peft_cli.backbone.loss import summed
from peft_cli.data import Example
from peft_cli.method import Method
from peft_cli.run_folder.checkpoint import Checkpoint, NoCheckpoint

ADAMW = partial(torch.optim.AdamW, fused=True)  # one pass over the weights, where torch's own choice makes ten


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
    checkpoint_seconds: NonNegativeFloat
    cache_gb: NonNegativeFloat
    checkpointing: bool
    compile: Literal["default", "reduce-overhead"] | None


def train(
    backbone: Backbone, method: Method, examples: Sequence[Example], validation: Sequence[Example], recipe: Recipe,
    metric: Callable[[Sequence[Example]], float], log: Callable[[dict], None], checkpoint: Checkpoint | None = None,
) -> dict:  # fmt: skip
    """Trains `method` on `examples`, leaves it in its best state, and returns when that was and how long it took.

    The best state has the lowest loss or the highest `metric` on `validation`, step 0 included; where nothing is
    validated it is the last one. `log` gets a row for each step (seconds without validation) and each validation.
    Goes on from `checkpoint` to the tensors of a run without interruption.
    """
    optimizer = ADAMW(method.param_groups(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, recipe))
    batches = Batches(backbone.encode(examples), recipe.batch_size)
    speed_up(backbone, method, backbone.encode([*examples, *validation]), recipe)
    best = Best(method, recipe, validator(backbone, method, validation, recipe, metric), log)
    checkpoint = checkpoint or NoCheckpoint()
    step = checkpoint.restore(method=method, optimizer=optimizer, schedule=schedule, batches=batches, best=best)
    if step == 0:
        best.validate(0)
    while step < recipe.steps and not best.gives_up:
        step += 1
        begin = time.perf_counter()
        backbone.model.train(recipe.dropout)
        method.train()
        loss = backward(backbone, method, next(batches), recipe)
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(method.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        log({"step": step, "loss": loss, "lr": schedule.get_last_lr(), "step_seconds": time.perf_counter() - begin})
        schedule.step()
        if best.is_due(step):
            best.validate(step)
        checkpoint.keep(step)
    checkpoint.close()
    best.restore()
    slow_down(backbone)
    method.eval()
    return {"steps": step, "train_seconds": checkpoint.elapsed(), **best.found()}


def add_gradients(backbone: Backbone, method: Method, rows: Sequence[Encoded], total: int) -> float:
    """Adds the gradients of the loss of `rows`, summed and divided by `total`, and returns it."""
    loss = summed_loss(backbone, method, rows) / total
    loss.backward()
    return loss.item()


def backward(
    backbone: Backbone, method: Method, batch: Sequence[Encoded], recipe: Recipe, add: Callable = add_gradients
) -> float:
    """Adds the gradients of one batch's loss, and returns it; the parts of an accumulated batch add up to the whole."""
    total = scale(batch, recipe)
    return sum(add(backbone, method, part, total) for part in parts(batch, recipe.accumulation))


def parts(rows: Sequence[Encoded], n: int) -> list[Sequence[Encoded]]:
    """`rows` in at most `n` parts of like size, each of rows of like length, so that little is padding."""
    size = -(-len(rows) // n)
    ordered = rows if size == len(rows) else sorted(rows, key=n_tokens)
    return [ordered[i : i + size] for i in range(0, len(rows), size)]


def summed_loss(backbone: Backbone, method: Method, rows: Sequence[Encoded]) -> Tensor:
    """The loss of `rows`, summed over all target tokens, classes or numbers; in training with what the method adds."""
    batch = backbone.batch(rows)
    loss = summed(*backbone.forward(method.inputs(batch)))
    return loss + method.extra_loss(batch) if method.training else loss


def scale(rows: Sequence[Encoded], recipe: Recipe) -> int:
    """What a summed loss is divided by: the target tokens, or with loss=target_sum the examples."""
    if recipe.loss == "target_sum":
        return len(rows)
    return sum(map(n_targets, rows))


def n_tokens(row: Encoded) -> int:
    """How long a row is."""
    return len(row.source) + n_targets(row)


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

    def state_dict(self) -> dict:
        """The position in the data."""
        return {"pool": self.pool}

    def load_state_dict(self, state: dict) -> None:
        """Goes back to a position."""
        self.pool = list(state["pool"])


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
        batches = parts(rows, -(-len(rows) // recipe.batch_size))
        return sum(summed_loss(backbone, method, part).item() for part in batches) / scale(rows, recipe)

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

    @property
    def gives_up(self) -> bool:
        """Whether too many validations in a row found nothing better."""
        return self.recipe.patience is not None and self.worse >= self.recipe.patience

    def validate(self, step: int) -> None:
        """Validates, and keeps the state if it is the best."""
        if self.validator is None:
            return
        value = self.validator()
        self.log({"step": step, f"validation_{self.recipe.select}": value})
        sign = 1 if self.recipe.select == "metric" else -1
        if self.value is None or sign * value > sign * self.value:
            self.step, self.value, self.worse = step, value, 0
            self.state = {name: tensor.detach().clone() for name, tensor in self.method.state_dict().items()}
        else:
            self.worse += 1

    def restore(self) -> None:
        """Puts the method back into its best state."""
        if self.state is not None:
            self.method.load_state_dict(self.state)

    def found(self) -> dict:
        """The step of the best state and its value, null where nothing was validated."""
        return {"best_step": self.step, f"best_validation_{self.recipe.select}": self.value}

    def state_dict(self) -> dict:
        """What a checkpoint keeps."""
        return {"step": self.step, "value": self.value, "worse": self.worse, "state": self.state}

    def load_state_dict(self, state: dict) -> None:
        """Goes back to what a checkpoint kept."""
        self.step, self.value, self.worse, self.state = (state[name] for name in ("step", "value", "worse", "state"))
