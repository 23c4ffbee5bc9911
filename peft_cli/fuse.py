"""Several runs of a sweep side by side on one backbone, each ending as it would have ended alone.

Each run is the straight line of run.py in a thread of its own. One thread goes on at a time, with random states of its
own, until its run asks for a pass of the backbone (`Seat.compute`). When all have asked, their rows make one batch, and
each goes on with what is its own of the outcome. So order of data, optimizer, schedule, validation, patience,
checkpoint, log and failures are a run's own, and one that ends leaves the others to themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from peft_cli.backbone import Backbone, Encoded
from peft_cli.checkpoint import random_states, set_random_states
from peft_cli.evaluate import Decoding, log_likelihoods, write
from peft_cli.loss import summed
from peft_cli.method import Method
from peft_cli.stop import Signals
from peft_cli.together import forward_together, inputs_together, write_together
from peft_cli.train import Recipe, alone, backward, n_targets, scale, summed_loss
from peft_cli.train import parts as cut

Part = tuple[Method, Sequence[Encoded]]  # of one run in a pass


class Apart(BaseException):
    """The runs cannot go on side by side; each can alone. No failure of a run."""


class Alone:
    """What a run has of its process where that is its own."""

    fused_with = 0  # runs beside it

    def __init__(self):
        self.signals = Signals()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes; of runs side by side, the first makes it for all."""
        return make()

    def backbone(self, loaded: Backbone) -> Backbone:
        """What the run's method may act on."""
        return loaded

    def admit(self, method: Method) -> None:
        """Raises Apart if `method` cannot stand beside others."""

    compute = staticmethod(alone)  # of a function, a backbone, a method, rows and more


class Request(NamedTuple):
    """What a run waits for: `function` of its part, under conditions that have to be the same for a common pass."""

    function: Callable
    conditions: tuple[Hashable, ...]  # the further arguments, and whether gradients and dropout are on
    part: Part


class Seat(Alone):
    """What a run has of a process in which others stand beside it; `act` is the run, `turn` comes before it goes on."""

    def __init__(self, company: Company, act: Callable[[Seat], None], turn: Callable[[], None]):
        super().__init__()
        self.company, self.act, self.turn = company, act, turn
        self.fused_with = company.size - 1
        self.random = random_states()
        self.request: Request | None = None
        self.answer: Any = None
        self.error: BaseException | None = None  # that ended it
        self.may_go, self.has_paused = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.live, daemon=True)

    def live(self) -> None:
        """Does the run, and keeps the exception that ends it."""
        try:
            self.act(self)
        except BaseException as error:  # Stopped and SystemExit too: the company's thread hands all on
            self.error = error
        self.has_paused.release()

    def go_on(self, answer: Any) -> None:
        """Lets the run go on with what it waited for, until it asks again or ends. The company's thread calls it."""
        self.request, self.answer = None, answer
        self.turn()
        set_random_states(self.random)
        if self.thread.ident is None:
            self.thread.start()
        else:
            self.may_go.release()
        self.has_paused.acquire()
        self.random = random_states()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes, for all runs."""
        if name not in self.company.made:
            self.company.made[name] = make()
        return self.company.made[name]

    def backbone(self, loaded: Backbone) -> Backbone:
        """A backbone of the same weights, for this run's method alone."""
        return loaded.beside()

    def admit(self, method: Method) -> None:
        """Raises Apart if `method` trains weights of the backbone, or a head: that starts from noise of a run alone."""
        if len(method.adopted):
            raise Apart(f"{type(method).__name__} trains weights of the backbone itself, or its head")
        if method.form != "classes":
            raise Apart(f"{type(method).__name__} asks with hypotheses or at a mask, and may add to the loss")

    def compute(self, function: Callable, backbone: Backbone, method: Method, rows: Sequence[Encoded], *more: Any):
        """What `function` gives for this run's part, from a pass that it shares with all that ask for the same."""
        conditions = (*more, torch.is_grad_enabled(), backbone.model.training)
        self.request = Request(function, conditions, (method, rows))
        self.has_paused.release()
        self.may_go.acquire()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Company:
    """Runs side by side: what each does, and what comes before each of its turns."""

    def __init__(self, acts: Sequence[tuple[Callable[[Seat], None], Callable[[], None]]]):
        self.size, self.signals = len(acts), Signals()
        self.made: dict[str, Any] = {}  # once for all
        self.known: set[Callable] = set()  # functions that have been seen not to draw random numbers
        self.seats = [Seat(self, act, turn) for act, turn in acts]

    def work(self) -> list[BaseException | None]:
        """Does all runs; returns the exception that ended each, None where none did."""
        answers: dict[Seat, Any] = dict.fromkeys(self.seats)
        with self.signals.heard():
            while answers:
                for seat, answer in answers.items():
                    self.pass_on(seat.signals)
                    seat.go_on(answer)
                    if isinstance(seat.error, Apart):
                        return self.part(seat.error)
                self.signals.save = False
                answers = self.answers([seat for seat in answers if seat.request])
        return [seat.error for seat in self.seats]

    def pass_on(self, signals: Signals) -> None:
        """Tells a run what signals asked for."""
        signals.stop, signals.save = self.signals.stop, signals.save or self.signals.save

    def part(self, apart: Apart) -> list[BaseException | None]:
        """Ends all runs where they are, but for those that have ended; returns the exception that ended each."""
        for seat in self.seats:
            if seat.request:
                seat.go_on(apart)
            elif seat.thread.ident is None:
                seat.error = apart
        return [seat.error for seat in self.seats]

    def answers(self, seats: Sequence[Seat]) -> dict[Seat, Any]:
        """What each of the runs waits for, those that wait for the same served in one pass."""
        alike: dict[tuple, list[Seat]] = {}
        for seat in seats:
            alike.setdefault(seat.request[:2], []).append(seat)
        found = {}
        for (function, conditions), some in alike.items():
            *more, with_gradients, in_training = conditions
            parts = [seat.request.part for seat in some]
            parts[0][0].backbone.model.train(in_training)
            try:
                with torch.set_grad_enabled(with_gradients):
                    made = self.serve(function, parts, *more)
            except (Exception, Apart) as error:
                made = [error if len(some) == 1 else apart(error)] * len(some)
            found |= dict(zip(some, made, strict=True))
        return {seat: found[seat] for seat in seats}

    def serve(self, function: Callable, parts: Sequence[Part], *more: Any) -> Sequence[Any]:
        """What `function` gives for each part; the first time, raises Apart if it draws random numbers in passing."""
        if len(parts) == 1:
            ((method, rows),) = parts
            return [function(method.backbone, method, rows, *more)]
        before = None if function in self.known else random_states()
        made = TOGETHER[function](parts, *more)
        if before is not None and differ(before, random_states()):
            raise Apart("their steps draw random numbers, as dropout does")
        self.known.add(function)
        return made


def differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether torch has drawn random numbers between two states."""
    pairs = zip([before["torch"], *before["cuda"]], [after["torch"], *after["cuda"]], strict=True)
    return not all(torch.equal(one, other) for one, other in pairs)


def apart(error: BaseException) -> Apart:
    """That what failed for all at once is tried by each alone."""
    if isinstance(error, Apart):
        return error
    told = Apart(f"a common step failed ({type(error).__name__}: {' '.join(str(error).split())})")
    told.__cause__ = error
    return told


def backward_together(parts: Sequence[Part], recipe: Recipe) -> list[float]:
    """What `train.backward` does and gives for each part."""
    methods, batches = zip(*parts, strict=True)
    totals = torch.tensor([scale(rows, recipe) for rows in batches], device=methods[0].backbone.model.device)
    values = [0.0] * len(parts)
    for pieces in zip(*(cut(rows, recipe.accumulation) for rows in batches), strict=True):  # all batches have one size
        losses = torch.stack(summed_losses(list(zip(methods, pieces, strict=True)))) / totals
        losses.sum().backward()
        values = [value + loss for value, loss in zip(values, losses.tolist(), strict=True)]
    return values


def summed_losses(parts: Sequence[Part]) -> list[Tensor]:
    """What `train.summed_loss` gives for each part."""
    made = forward_together(inputs_together(parts))
    return [summed(logits, targets) for logits, targets in made]


def log_likelihoods_together(parts: Sequence[Part]) -> list[Tensor]:
    """What `evaluate.log_likelihoods` gives for each part."""
    found = []
    for (logits, targets), (_, rows) in zip(forward_together(inputs_together(parts)), parts, strict=True):
        nats = F.cross_entropy(logits.float(), targets, reduction="none")
        found.append(torch.stack([-own.sum() for own in nats.split([n_targets(row) for row in rows])]))
    return found


def texts_together(parts: Sequence[Part], decoding: Decoding) -> list[list[str]]:
    """What `evaluate.write` gives for each part."""
    return write_together(inputs_together(parts, training=False), **decoding.options())


TOGETHER = {
    backward: backward_together,
    summed_loss: summed_losses,
    log_likelihoods: log_likelihoods_together,
    write: texts_together,
}  # what a run computes for itself, and the same for several
