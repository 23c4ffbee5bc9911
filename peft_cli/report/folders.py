"""What lies below some folders: the results of runs, and the folders that have none.

Folders may come from anywhere: a result that cannot be read, or that is not a run's, costs a warning and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from peft_cli.report.runs import Run, parse_run
from peft_cli.run_folder.discovery import find_run_folders
from peft_cli.run_folder.files import one_line, read_json

UNFINISHED = "unfinished"
LONGEST_REASON = 500  # characters
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)  # of a bad file


class Attempt(NamedTuple):
    """A folder without a result: what its path tells about the run, and why there is no result."""

    folder: Path
    state: str  # failed | impossible | unfinished
    reason: str

    @property
    def identity(self) -> dict[str, str]:
        """Data, backbone, method and shots, as peft-run names folders: <data>/<backbone>/<method>/shots=<k>,..."""
        data, backbone, method, name = ("", "", "", *self.folder.parts)[-4:]
        shots = name.partition(",")[0].partition("-")[0].removeprefix("shots=")
        return {"data": data, "backbone": backbone, "method": method, "shots": shots}


class Inventory(NamedTuple):
    """All that lies below some folders."""

    runs: list[Run]
    attempts: list[Attempt]
    warnings: list[str]  # one for each result or folder that cannot be read


def find_runs(folders: Sequence[Path]) -> Inventory:
    """Returns everything below `folders`, each run folder once. Raises ValueError where no run has a result."""
    inventory = Inventory([], [], [])
    for folder in sorted(find_run_folders(*folders, warn=inventory.warnings.append)):
        path = folder / "result.json"
        try:
            inventory.runs.append(parse_run(folder, read_json(path)))
        except FileNotFoundError:
            inventory.attempts.append(read_attempt(folder))
        except BROKEN as error:
            reason = "its values are nested too deeply" if isinstance(error, RecursionError) else error
            advice = "delete that folder and run it again"
            inventory.warnings.append(one_line(f"{path} is no result of a run ({reason}); {advice}"))
    if not inventory.runs:
        n_failed = sum(attempt.state != UNFINISHED for attempt in inventory.attempts)
        n_unfinished, n_unreadable = len(inventory.attempts) - n_failed, len(inventory.warnings)
        counts = f"{n_failed} failed, {n_unfinished} unfinished, {n_unreadable} unreadable"
        raise ValueError(f"no result of a run below {', '.join(map(str, folders))} ({counts}); peft-run makes them")
    return inventory


def read_attempt(folder: Path) -> Attempt:
    """Returns why a folder has no result."""
    try:
        error = read_json(folder / "error.json")
        reason = one_line(error["error"].strip().partition("\n")[0].rstrip(": "))[:LONGEST_REASON]
        is_refusal = error.get("is_wrong_request", reason.startswith("ValueError"))
    except FileNotFoundError:
        return Attempt(folder, UNFINISHED, "a log, and neither a result nor an error")
    except BROKEN:
        return Attempt(folder, "failed", "error.json cannot be read")
    return Attempt(folder, "impossible" if is_refusal else "failed", reason)
