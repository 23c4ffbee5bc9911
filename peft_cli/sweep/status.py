"""What state run folders are in, and which of them no experiment asks for. Imports neither torch nor transformers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peft_cli.run_folder.discovery import find_run_folders
from peft_cli.run_folder.files import one_line, printable, read_json
from peft_cli.run_folder.lock import owner
from peft_cli.run_folder.result import folder_of
from peft_cli.sweep import queue
from peft_cli.sweep.board import format_duration

STATES = ("finished", "running", "queued", "failed", "unfinished")
MOST_REASONS = 10  # that are listed, the most frequent first
RUN_DEPTH = 4  # <data>/<backbone>/<method>/<run>


class State(NamedTuple):
    """The state of a run folder, and its reason or its process."""

    path: Path
    name: str  # one of STATES
    detail: str = ""


def status(folders: Sequence[Path]) -> str:
    """Returns how many runs below some folders are in which state, the oldest that runs, and why others failed.

    Raises ValueError where there is no such folder.
    """
    jobs = queue.queued() or {}
    states = [state_of(path, jobs) for path in find_run_folders(*folders)]
    counts = Counter(state.name for state in states)
    lines = [f"{len(states)} runs: " + ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])]
    running = sorted((began_at(state.path), state) for state in states if state.name == "running")
    for began, state in running[:1]:
        lines.append(f"oldest running: {state.path}, for {format_duration(time.time() - began)}, {state.detail}")
    queued = Counter(state.detail for state in states if state.name == "queued" and "(" in state.detail)
    lines += [f"queued, {count}: {detail}" for detail, count in queued.items()]
    lines += failures(states)
    if counts["failed"] or counts["unfinished"]:
        lines.append("the same sweep again does what is unfinished, and with retry=true what failed")
    return "\n".join(map(one_line, lines))


def failures(states: Sequence[State]) -> list[str]:
    """Returns the most frequent reasons of failures, each with an example."""
    examples = {state.detail: state.path for state in reversed(states) if state.name == "failed"}
    reasons = Counter(state.detail for state in states if state.name == "failed")
    lines = [
        f"failed, {count}: {reason}, such as {examples[reason]}" for reason, count in reasons.most_common(MOST_REASONS)
    ]
    return lines + [f"and {len(reasons) - MOST_REASONS} reasons more"] * (len(reasons) > MOST_REASONS)


def state_of(path: Path, jobs: Mapping[str, str]) -> State:
    """Returns the state of a run folder; `jobs` are those that Slurm has."""
    if content(path / "result.json") is not None:
        return State(path, "finished")
    if process := owner(path):
        return State(path, "running", f"by {process}")
    if state := jobs.get(str((content(path / "slurm.json") or {}).get("job"))):
        return State(path, "running" if state in ("RUNNING", "COMPLETING") else "queued", f"Slurm has it as {state}")
    if (path / "error.json").exists():
        return State(
            path, "failed", str((content(path / "error.json") or {}).get("error", "error.json cannot be read"))
        )
    return State(path, "unfinished")


def content(path: Path) -> dict[str, Any] | None:
    """Returns the object in a JSON file; None where it is absent or broken."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def began_at(path: Path) -> float:
    """Returns when a run began: its configuration is the first thing that it writes."""
    return next(file.stat().st_mtime for file in (path / "config.yaml", path) if file.exists())


def stale(folders: Sequence[Path]) -> str:
    """Returns the run folders below some folders whose configuration no experiment asks for, with their sizes."""
    named, n_unknown = experiment_folders()
    lines, total, count = [], 0, 0
    for path in find_run_folders(*folders):
        count += 1
        if path.parts[-RUN_DEPTH:] not in named:
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            total += size
            lines.append(printable(f"{size / 2**20:8.1f} MiB  {path}"))
    unknown = f"; {n_unknown} runs of experiments have no data here and are not known" if n_unknown else ""
    lines.append(
        f"{len(lines)} of {count} runs are in no experiment, {total / 2**20:.1f} MiB; nothing was deleted{unknown}"
    )
    return "\n".join(lines)


def experiment_folders() -> tuple[set[tuple[str, ...]], int]:
    """Returns the folders of all runs of experiments, and how many have none, as their data cannot be read here."""
    from peft_cli.config.compose import experiment_runs
    from peft_cli.run_folder import identity

    named, n_unknown = set(), 0
    for run in experiment_runs():
        try:
            named.add(folder_of(identity.complete(run.config), run.choices).path.parts[-RUN_DEPTH:])
        except (ValueError, OSError):
            n_unknown += 1
    return named, n_unknown
