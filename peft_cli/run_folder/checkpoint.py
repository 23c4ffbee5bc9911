"""A run's state on disk, so that a run that was killed goes on where it was."""

from __future__ import annotations

import pickle
import random
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy
import torch

from peft_cli.run_folder.files import one_line, open_regular, replace_file, warn_once
from peft_cli.run_folder.signals import Signals

NAME = "checkpoint.pt"
LEAST_SHARE = 0.1  # of the time between two checkpoints has to be at stake for one more at the end of training
LONGEST_REASON = 200  # characters of an error
UNREADABLE = (  # what zipfile, pickle, torch and the parts raise for a broken or a hostile file
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, pickle.UnpicklingError),
)


class Part(Protocol):
    """A part of a run's state, such as a module, an optimizer or a position in the data."""

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the part needs to go on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Puts the part back to a state."""
        ...


class Checkpoint:
    """The checkpoint of one run: the state of each of its parts, by name, its log, and all random states.

    A file that cannot be read, as after a bit of it has changed, costs a warning, and the run starts from nothing.
    Raises ValueError where the file was made of other weights or data (`made_of`).
    """

    def __init__(self, folder: Path, every_seconds: float, signals: Signals, made_of: Mapping[str, str], **parts: Part):
        self.path, self.log = folder / NAME, folder / "log.jsonl"
        self.every_seconds, self.signals = every_seconds, signals
        self.made_of, self.parts = dict(made_of), dict(parts)
        self.content = self.read()
        self.step: int = self.content["step"] if self.content else 0
        self.seconds_before: float = self.content["seconds"] if self.content else 0.0
        self.began_at = self.saved_at = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Returns what is on disk; None where there is nothing to go on from."""
        try:
            content = read_checkpoint(self.path)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            warn_once(f"{self.path} cannot be read ({error}); the run starts again")
            return None
        changed = [name for name in self.made_of if content["made_of"].get(name) != self.made_of[name]]
        if changed:
            raise ValueError(
                f"{self.path} was made with another {', '.join(changed)}; delete it to start the run again"
            )
        return content

    def restore(self, **parts: Part) -> int:
        """Adds `parts`, puts all of them and the log back to the checkpoint, and returns its step; 0 is a beginning.

        Raises ValueError where the checkpoint is not one of these parts.
        """
        self.parts |= parts
        if self.content:
            try:
                for name, part in self.parts.items():
                    part.load_state_dict(self.content["states"][name])
                set_random_states(self.content["random"])
            except torch.OutOfMemoryError:
                raise
            except UNREADABLE as error:
                reason = one_line(error)[:LONGEST_REASON]
                raise ValueError(f"{self.path} does not fit the run ({reason}); delete it to start again") from error
            with replace_file(self.log) as log:
                log.write(self.content["log"])
        self.content = None
        self.began_at = self.saved_at = time.monotonic()
        return self.step

    def elapsed(self) -> float:
        """Returns the seconds of training, those before the checkpoint included."""
        return self.seconds_before + time.monotonic() - self.began_at

    def keep(self, step: int) -> None:
        """Writes a checkpoint if it is time to, or if a signal asks; raises Stopped if a signal asked the run to."""
        self.step = step
        is_due = time.monotonic() - self.saved_at >= self.every_seconds
        if is_due or self.signals.wants_checkpoint or self.signals.stop_number is not None:
            self.write()
        self.signals.check()

    def close(self) -> None:
        """Writes a last checkpoint, after training, where more than a little would be lost without one."""
        if time.monotonic() - self.saved_at >= LEAST_SHARE * self.every_seconds:
            self.write()

    def write(self) -> None:
        """Writes the whole file, and then moves it to its place: a reader sees all of it."""
        content = {
            "made_of": self.made_of,
            "step": self.step,
            "seconds": self.elapsed(),
            "log": self.log.read_text(encoding="utf-8"),
            "states": {name: part.state_dict() for name, part in self.parts.items()},
            "random": random_states(),
        }
        with replace_file(self.path, "wb") as file:
            torch.save(content, file)
        self.saved_at, self.signals.wants_checkpoint = time.monotonic(), False


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint; raises one of UNREADABLE where a bit of it has changed.

    The file is a zip archive with a CRC-32 of each of its records; torch does not compare them.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise ValueError("it is compressed, which no checkpoint is")
        if broken := archive.testzip():
            raise ValueError(f"the checksum of {broken} is wrong")
        file.seek(0)
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    for name, kind in {"made_of": dict, "step": int, "seconds": float, "log": str, "states": dict}.items():
        if not isinstance(content[name], kind):
            raise TypeError(f"{name} is no {kind.__name__}")
    return content


class NoCheckpoint:
    """In place of a Checkpoint where nothing is kept."""

    def __init__(self) -> None:
        self.began_at = time.monotonic()

    def restore(self, **parts: Any) -> int:
        """Returns 0, the beginning."""
        return 0

    def keep(self, step: int) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Writes nothing."""

    def elapsed(self) -> float:
        """Returns the seconds since it was made."""
        return time.monotonic() - self.began_at


def random_states() -> dict[str, Any]:
    """Returns the states of the generators that training may draw from: torch's, also on GPUs, numpy's and Python's."""
    state = numpy.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": {**state, "state": {**state["state"], "key": state["state"]["key"].tolist()}},
        "python": random.getstate(),
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Puts the generators back to `states`."""
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    numpy.random.set_state(states["numpy"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
