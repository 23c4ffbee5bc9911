"""Weights and Biases as a mirror of a run. The run's own files are the truth, and a tracker that fails ends nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peft_cli.run_folder.files import one_line

if TYPE_CHECKING:
    import wandb

Mode = Literal["disabled", "offline", "online"]


class Tracker:
    """Sends rows of the log and the result to Weights and Biases, as long as that works."""

    def __init__(self, folder: Path, config: Mapping[str, Any], mode: Mode, project: str, entity: str | None):
        self.run: wandb.Run | None = None
        if mode != "disabled":
            self.attempt(lambda: self.start(folder, config, mode, project, entity))

    def start(self, folder: Path, config: Mapping[str, Any], mode: Mode, project: str, entity: str | None) -> None:
        """Opens the run that mirrors `folder`; raises ValueError where its own folder there is a link."""
        import wandb

        if (folder / "wandb").is_symlink():
            raise ValueError(f"{folder / 'wandb'} is a link, and a run writes into its own folder alone")
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

    def log(self, row: dict[str, Any]) -> None:
        """Mirrors one row of the log."""
        rest = {name: value for name, value in row.items() if name != "step"}
        self.attempt(lambda: self.run and self.run.log(rest, step=row["step"]))

    def finish(self, result: dict[str, Any]) -> None:
        """Mirrors the scores and the costs, and closes the run."""
        self.attempt(
            lambda: self.run and (self.run.summary.update(result["scores"] | result["cost"]), self.run.finish())
        )

    def attempt(self, act: Callable[[], object]) -> None:
        """Calls `act`; its first failure is printed in one line and ends the mirroring."""
        try:
            act()
        except Exception as error:  # whatever a tracker raises, the run goes on
            reason = one_line(error) or type(error).__name__
            print(f"peft-run: wandb stopped mirroring this run ({reason}); log.jsonl has all of it", file=sys.stderr)
            self.run = None
