"""A run's state on disk, so that a run that was killed goes on where it was."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from peft_cli.run_folder.signals import Signals

NAME = "checkpoint.pt"
LEAST_SHARE = 0.1  # of the time between two checkpoints has to be at stake for one more at the end of training


class Checkpoint:
    """The checkpoint of one run: `parts` by name, each with state_dict and load_state_dict, and all random states."""

    def __init__(self, folder: Path, every_seconds: float, signals: Signals, made_of: Mapping[str, str], **parts: Any):
        self.path, self.log = folder / NAME, folder / "log.jsonl"
        self.every_seconds, self.signals = every_seconds, signals
        self.made_of, self.parts = dict(made_of), parts
        self.kept = self.read()
        self.step, self.seconds_before = (self.kept["step"], self.kept["seconds"]) if self.kept else (0, 0.0)
        self.began_at = self.saved_at = time.monotonic()

    def read(self) -> dict | None:
        """What is on disk; None where there is nothing to go on from.

        Raises ValueError where it cannot be read, or was made of other weights or data (`made_of`).
        """
        if not self.path.exists():
            return None
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle, zip and torch each have errors of their own
            raise ValueError(f"{self.path} cannot be read; delete it to start the run again") from error
        if kept["made_of"] != self.made_of:
            changed = ", ".join(name for name in self.made_of if kept["made_of"].get(name) != self.made_of[name])
            raise ValueError(f"{self.path} was made with another {changed}; delete it to start the run again")
        return kept

    def restore(self, **parts: Any) -> int:
        """Adds `parts`, puts all of them and the log back to the checkpoint, and returns its step; 0 is a beginning."""
        self.parts |= parts
        if self.kept:
            for name, part in self.parts.items():
                part.load_state_dict(self.kept["states"][name])
            set_random_states(self.kept["random"])
            os.truncate(self.log, self.kept["log_bytes"])
        self.kept = None
        self.began_at = self.saved_at = time.monotonic()
        return self.step

    def elapsed(self) -> float:
        """The seconds of training, those before the checkpoint included."""
        return self.seconds_before + time.monotonic() - self.began_at

    def keep(self, step: int) -> None:
        """Writes a checkpoint if it is time to, or if a signal asks; raises Stopped if a signal asked the run to."""
        self.step = step
        is_time = time.monotonic() - self.saved_at >= self.every_seconds
        if is_time or self.signals.save or self.signals.stop is not None:
            self.write()
        self.signals.check()

    def close(self) -> None:
        """Writes a last checkpoint, after training, where more than a little would be lost without one."""
        if time.monotonic() - self.saved_at >= LEAST_SHARE * self.every_seconds:
            self.write()

    def write(self) -> None:
        """Writes all of it beside its place and then moves it there: whoever looks sees a whole one."""
        with self.log.open("ab") as log:
            os.fsync(log.fileno())
            log_bytes = log.tell()
        content = {
            "made_of": self.made_of,
            "step": self.step,
            "seconds": self.elapsed(),
            "log_bytes": log_bytes,
            "states": {name: part.state_dict() for name, part in self.parts.items()},
            "random": random_states(),
        }
        partial = self.path.with_name(f".{NAME}.partial")
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
        self.saved_at, self.signals.save = time.monotonic(), False


class NoCheckpoint:
    """In place of a Checkpoint where nothing is kept."""

    def __init__(self):
        self.began_at = time.monotonic()

    def restore(self, **parts: Any) -> int:
        """The beginning."""
        return 0

    def keep(self, step: int) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Nothing is written."""

    def elapsed(self) -> float:
        """The seconds since it was made."""
        return time.monotonic() - self.began_at


def random_states() -> dict[str, Any]:
    """The states of the generators that training may draw from: torch's, on each GPU too, numpy's and Python's."""
    name, keys, *rest = numpy.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [name, keys.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Puts the generators back to `states`."""
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    numpy.random.set_state(tuple(states["numpy"]))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
