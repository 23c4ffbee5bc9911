"""Weights and Biases as a mirror of a run. The run's own files are the truth, and a tracker that fails ends nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal


class Tracker:
    """Sends rows of the log and the result to Weights and Biases, as long as that works."""

    def __init__(
        self,
        folder: Path,
        config: Mapping,
        mode: Literal["disabled", "offline", "online"],
        project: str,
        entity: str | None,
    ):
        self.run = None
        if mode != "disabled":
            self.attempt(lambda: self.start(folder, config, mode, project, entity))

    def start(self, folder: Path, config: Mapping, mode: str, project: str, entity: str | None) -> None:
        """Opens the run that mirrors `folder`."""
        import wandb

        settings = wandb.Settings(silent=True, init_timeout=20)
        self.run = wandb.init(
            project=project,
            entity=entity,
            mode=mode,
            dir=folder,
            config=dict(config),
            name=str(folder),
            settings=settings,
        )

    def log(self, row: dict) -> None:
        """Mirrors one row of the log."""
        rest = {name: value for name, value in row.items() if name != "step"}
        self.attempt(lambda: self.run and self.run.log(rest, step=row["step"]))

    def finish(self, result: dict) -> None:
        """Mirrors the scores and the costs, and closes the run."""
        self.attempt(
            lambda: self.run and (self.run.summary.update(result["scores"] | result["cost"]), self.run.finish())
        )

    def attempt(self, act: Callable[[], object]) -> None:
        """Does `act`; the first failure is told in one line and ends the mirroring."""
        try:
            act()
        except Exception as error:  # whatever a tracker raises, the run goes on
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"peft-run: wandb stopped mirroring this run ({reason}); log.jsonl has all of it", file=sys.stderr)
            self.run = None
