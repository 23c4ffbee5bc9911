"""Ours beside theirs: both checked to be equal, then timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from peft_cli.run_folder.usage import counted
from tests.bench.lines import TOLERANCE, Line, Settings
from tests.bench.timing import difference, in_turn, rate, shares

LR, CLIP = 1e-5, 1.0


class Checked(NamedTuple):
    """What one way found, and the operations and bytes that it took."""

    found: dict[str, Tensor]
    counts: dict[str, int]


class Way(Protocol):
    """One way to do a piece of work."""

    def __call__(self) -> object:
        """Does it."""

    def check(self) -> Checked:
        """Does it and tells what it found."""


class Step:
    """A training step: `add` adds the gradients of a batch and returns its loss; `named()` are what trains."""

    def __init__(
        self, model: nn.Module, add: Callable[[], float], trained: Iterable[Tensor],
        gradients: Callable[[], dict[str, Tensor]], optimizer: Callable = torch.optim.AdamW,
    ):  # fmt: skip
        self.model, self.add, self.trained, self.gradients = model, add, list(trained), gradients
        self.optimizer = optimizer(self.trained, lr=LR)

    def __call__(self) -> None:
        """Forward, backward, update."""
        self.add()
        torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def check(self) -> Checked:
        """Loss and gradients."""
        with counted([*self.model.parameters(), *self.trained]) as counts:
            loss = self.add()
        found = {"loss": torch.tensor(loss), **self.gradients()}
        self.optimizer.zero_grad()
        return Checked(found, counts)


class Writing:
    """Generation; `write` returns token ids [B, T]."""

    def __init__(self, write: Callable[[], Tensor]):
        self.write = write

    @torch.no_grad()
    def __call__(self) -> Tensor:
        """Writes."""
        return self.write()

    def check(self) -> Checked:
        """The tokens."""
        with counted(()) as counts:
            tokens = self()
        return Checked({"tokens": tokens}, counts)


def compare(
    theirs: Way, ours: Mapping[str, Way], lines: Mapping[str, Line], rounds: int, settings: Settings,
    tolerance: float | None = TOLERANCE, dtype: torch.dtype = torch.float32,
) -> list[Line]:  # fmt: skip
    """Fills in the line of each of ours; what does not equal theirs is not timed, and its line says so.

    `tolerance` None is for two methods, which are not equal.
    """
    expected = theirs.check()
    checked = {name: way.check() for name, way in ours.items()}
    measured = rate(settings.device, dtype)
    for name, line in lines.items():
        if tolerance is not None:
            judge(line, expected.found, checked[name].found, tolerance)
        line.rate, line.operations = measured, [way.counts["flops_per_step"] for way in (expected, checked[name])]
    equal = [name for name, line in lines.items() if not line.failure]
    if not equal:
        return list(lines.values())
    again = {f"{equal[0]} again": ours[equal[0]]}
    seconds = in_turn({"theirs": theirs, **{name: ours[name] for name in equal}, **again}, settings.times(rounds))
    for name in equal:
        line = lines[name]
        line.theirs, line.ours = seconds["theirs"], seconds[name]
        line.again = shares(seconds[f"{equal[0]} again"], seconds[equal[0]])
    return list(lines.values())


def judge(line: Line, expected: dict[str, Tensor], found: dict[str, Tensor], tolerance: float) -> None:
    """Writes into `line` how equal two ways are, or that they are not."""
    apart, where = difference(expected, found)
    if not apart <= tolerance:
        line.failure = f"not equal: {where} differs by {apart:.1e}"
        return
    told = "the same tokens" if where == "tokens" else f"loss and gradients equal to {apart:.0e}"
    line.note = "; ".join(part for part in (line.note, told) if part)
