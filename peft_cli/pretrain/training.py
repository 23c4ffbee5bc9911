"""The loop that trains an embedded backbone; it can be stopped at any step and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from peft_cli.backbone import IGNORE
from peft_cli.pretrain.card import LogRow
from peft_cli.pretrain.objectives import Row, summed_loss
from peft_cli.run_folder.progress import progress

PARTS = {"cpu": 4, "cuda": 1}  # of a step, one after the other
ROWS_AT_ONCE = 64  # from a worker
SHORT = 35  # positions of a short row, about
LR, BETAS = 4e-3, (0.9, 0.95)
WARMUP, COOLDOWN = 0.02, 0.3  # shares of the steps over which the learning rate rises and falls
LOG_SECONDS, CHECKPOINT_SECONDS = 30, 300


class RowSource(Protocol):
    """The rows of a training, by their numbers."""

    def __getitem__(self, i: int) -> Row:
        """Row `i`."""


class Stateful(Protocol):
    """What a checkpoint keeps the state of: a model, an optimizer or a schedule."""

    def state_dict(self) -> Any:
        """The state."""

    def load_state_dict(self, state: Any) -> Any:
        """Takes a state."""


def train(
    model: PreTrainedModel, optimizers: list[torch.optim.Optimizer], rows: RowSource, tokens: float,
    batch_positions: int, workers: int, checkpoint: Path,
) -> list[LogRow]:  # fmt: skip
    """Trains for `tokens` positions, from the checkpoint where there is one; returns the log."""
    steps = int(tokens) // batch_positions
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: trapezoid(step, steps)) for o in optimizers]
    parts: list[Stateful] = [model, *optimizers, *schedules]
    start, row, read, log = restore(checkpoint, parts)
    pending: list[Tensor] = []
    logged_at = saved_at = time.monotonic()
    stream = rows_from(rows, row, workers)
    with progress("pretrain", steps, start) as done:
        for step in range(start, steps):
            batch = take(stream, batch_positions)
            pending.append(train_step(model, optimizers, schedules, batch))
            row += len(batch)
            read += sum(map(size, batch))
            if time.monotonic() - logged_at > LOG_SECONDS or step == steps - 1:
                log.append({"step": step + 1, "tokens": read, "loss": torch.stack(pending).mean().item()})
                pending, logged_at = [], time.monotonic()
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                save(checkpoint, parts, step + 1, row, read, log)
                saved_at = time.monotonic()
            done(1, f"loss {log[-1]['loss'] if log else math.nan:.3f}  {read:,} tokens")
    return log


def rows_from(rows: RowSource, start: int, workers: int) -> Iterator[Row]:
    """The rows from number `start` on, in their order, made ahead by `workers` processes."""
    if not workers:
        return (rows[i] for i in count(start))
    dataset: Any = rows
    ahead: Any = DataLoader(dataset, ROWS_AT_ONCE, sampler=count(start), num_workers=workers, collate_fn=list)
    return chain.from_iterable(ahead)


def take(stream: Iterator[Row], positions: int) -> list[Row]:
    """The next rows of `stream`, until they have `positions` positions."""
    batch, taken = [], 0
    while taken < positions:
        batch.append(next(stream))
        taken += size(batch[-1])
    return batch


def size(row: Row) -> int:
    """The positions that a row takes."""
    return max(map(len, row)) if len(row[0]) == len(row[1]) else sum(map(len, row))


def n_scored(row: Row) -> int:
    """The number of tokens that count in the loss of a row."""
    return sum(label != IGNORE for label in row[1])


def train_step(
    model: PreTrainedModel,
    optimizers: list[torch.optim.Optimizer],
    schedules: list[torch.optim.lr_scheduler.LambdaLR],
    batch: list[Row],
) -> Tensor:
    """One step on a batch of rows, in parts of similar lengths to save padding; returns its mean loss []."""
    batch, parts, n = sorted(batch, key=size), [], sum(map(n_scored, batch))
    device = str(model.device.type)
    length = math.ceil(len(batch) / PARTS[device])
    for start in range(0, len(batch), length):
        with torch.autocast(device, torch.bfloat16):
            part, _ = summed_loss(model, batch[start : start + length])
        (part / n).backward()
        parts.append(part.detach())
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return torch.stack(parts).sum() / n


def make_optimizers(model: nn.Module, table_lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan, 2024, https://kellerjordan.github.io/posts/muon) for the blocks' matrices, AdamW for the rest."""
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    is_table = {id(p) for p in tables}.__contains__
    matrices = [p for p in model.parameters() if p.ndim == 2 and not is_table(id(p))]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    groups: list[dict[str, Any]] = [{"params": vectors}, {"params": list(dict.fromkeys(tables)), "lr": table_lr}]
    return [
        torch.optim.Muon(matrices, lr=LR, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=LR, betas=BETAS, weight_decay=0.0),
    ]


def trapezoid(step: int, steps: int) -> float:
    """The learning rate at `step` as a share of its peak: up, level, and down to zero at the end."""
    rise, fall = max(1, math.ceil(WARMUP * steps)), max(1, math.ceil(COOLDOWN * steps))
    return min(1.0, (step + 1) / rise, (steps - step) / fall)


def save(checkpoint: Path, parts: list[Stateful], step: int, row: int, tokens: int, log: list[LogRow]) -> None:
    """Replaces the checkpoint by one with all that a resumed run needs."""
    partial = checkpoint.with_suffix(".partial")
    states = [part.state_dict() for part in parts]
    torch.save({"states": states, "step": step, "row": row, "tokens": tokens, "log": log}, partial)
    partial.replace(checkpoint)


def restore(checkpoint: Path, parts: list[Stateful]) -> tuple[int, int, int, list[LogRow]]:
    """Restores `parts` from the checkpoint, where there is one; returns its step, row, tokens and log, or zeros."""
    if not checkpoint.exists():
        return 0, 0, 0, []
    kept = torch.load(checkpoint, weights_only=True)
    for part, state in zip(parts, kept["states"], strict=True):
        part.load_state_dict(state)
    return kept["step"], kept["row"], kept["tokens"], kept["log"]
