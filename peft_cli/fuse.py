"""Several runs of a sweep side by side on one backbone, each ending as it would have ended alone.

Each run is the straight line of run.py in a thread of its own. One thread goes on at a time, with random states of its
own, until its run asks for a pass of the backbone (`Seat.compute`). When all have asked, their rows make one batch, and
each goes on with what is its own of the outcome. So order of data, optimizer, schedule, validation, patience, checkpoint,
log and failing of a run are its own, and a run that ends or fails leaves the others to themselves.
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
from peft_cli.method import Method
from peft_cli.stop import Signals
from peft_cli.train import Recipe, alone, backward, n_targets, scale, summed_loss


class Apart(BaseException):
    """The runs cannot go on side by side; each can alone. No failure of a run."""


class Alone:
    """What a run needs of its surroundings where it has its backbone to itself."""

    fused_with = 0  # runs beside it

    def __init__(self):
        self.signals = Signals()
        self.compute = alone

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes; of runs side by side the first makes it for all."""
        return make()

    def backbone(self, backbone: Backbone) -> Backbone:
        """The backbone that the run's method may act on."""
        return backbone

    def admit(self, method: Method) -> None:
        """Raises Apart if `method` cannot stand beside others."""


class Share(NamedTuple):
    """The part of one run in a pass: its method and its rows."""

    method: Method
    rows: Sequence[Encoded]


class Request(NamedTuple):
    """What a run asks to have computed: `function` of its share, with settings that all have to agree in."""

    function: Callable
    settings: tuple[Hashable, ...]
    share: Share


class Seat(Alone):
    """What a run needs of its surroundings where others share its backbone."""

    def __init__(self, company: Company, act: Callable[[Seat], None], turn: Callable[[], None]):
        self.company, self.act, self.turn = company, act, turn
        self.signals, self.fused_with = Signals(), 0
        self.random = random_states()
        self.request: Request | None = None
        self.answer: Any = None
        self.error: BaseException | None = None  # that ended it
        self.may_go, self.has_paused = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.live, daemon=True)

    def live(self) -> None:
        """Does the run, and keeps the exception that ended it."""
        self.may_go.acquire()
        try:
            self.act(self)
        except BaseException as error:  # the company's thread tells it, or raises it
            self.error = error
        self.request = None
        self.has_paused.release()

    def go_on(self) -> None:
        """Lets the run go on until it asks for something, or ends; called by the company's thread."""
        self.turn()
        set_random_states(self.random)
        if not self.thread.is_alive():
            self.thread.start()
        self.may_go.release()
        self.has_paused.acquire()
        self.random = random_states()

    def compute(self, function: Callable, backbone: Backbone, method: Method, rows: Sequence[Encoded], *settings: Any):
        """What `function(backbone, method, rows, *settings)` gives, computed with what the other runs ask for."""
        self.request = Request(function, settings, Share(method, rows))
        self.has_paused.release()
        self.may_go.acquire()
        if isinstance(self.answer, Apart):
            raise self.answer
        return self.answer

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes, for all runs."""
        if name not in self.company.made:
            self.company.made[name] = make()
        return self.company.made[name]

    def backbone(self, backbone: Backbone) -> Backbone:
        """A backbone of the same weights, for this run's method alone."""
        return backbone.beside()

    def admit(self, method: Method) -> None:
        """Raises Apart where a method trains weights of the backbone itself."""
        weights = {id(p) for p in method.backbone.model.parameters()}
        if method.backbone.head() or any(id(p) in weights for p in method.parameters()):
            raise Apart(f"{type(method).__name__} trains weights of the backbone itself")


class Company:
    """Runs side by side."""

    def __init__(self, acts: Sequence[tuple[Callable[[Seat], None], Callable[[], None]]]):
        self.made: dict[str, Any] = {}  # once for all
        self.seats = [Seat(self, act, turn) for act, turn in acts]
        self.signals, self.draws = Signals(), None

    def work(self) -> list[BaseException | None]:
        """Does all runs; returns the exception that ended each, None where none did."""
        living = list(self.seats)
        with self.signals.heard():
            while living:
                for seat in living:
                    self.tell(seat.signals)
                    seat.fused_with = max(seat.fused_with, len(living) - 1)
                    seat.go_on()
                self.signals.save = False
                living = [seat for seat in living if seat.request]
                if any(isinstance(seat.error, Apart) for seat in self.seats):
                    self.part(living)
                self.answer(living)
        return [seat.error for seat in self.seats]
