"""What state run folders are in, and which of them no experiment asks for. Imports neither torch nor transformers."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from peft_cli.run_folder.lock import owner
from peft_cli.run_folder.result import folder_of
from peft_cli.sweep import queue
from peft_cli.sweep.board import duration

FILES = ("result.json", "error.json", "slurm.json", "log.jsonl")  # any of these makes a folder a run's
MOST_REASONS = 10  # that are told, the most frequent first


class State(NamedTuple):
    """The state of a run folder, and what there is to tell about it."""

    path: Path
    name: str  # finished, running, queued, failed or unfinished
    told: str = ""


def status(folders: Sequence[Path]) -> str:
    """How many runs below some folders are in which state, the oldest that runs, and why others failed."""
    jobs = queue.queued() or {}
    states = [state_of(path, jobs) for folder in folders for path in run_folders(folder)]
    counts = Counter(state.name for state in states)
    names = ("finished", "running", "queued", "failed", "unfinished")
    lines = [f"{len(states)} runs: " + ", ".join(f"{counts[name]} {name}" for name in names if counts[name])]
    running = sorted((began_at(state.path), state) for state in states if state.name == "running")
    for began, state in running[:1]:
        lines.append(f"oldest running: {state.path}, for {duration(time.time() - began)}, {state.told}")
    for told, count in Counter(state.told for state in states if state.name == "queued" and "(" in state.told).items():
        lines.append(f"queued, {count}: {told}")
    reasons = Counter(state.told for state in states if state.name == "failed")
    for reason, count in reasons.most_common(MOST_REASONS):
        example = next(state.path for state in states if state.told == reason)
        lines.append(f"failed, {count}: {reason}\n  such as {example}")
    if len(reasons) > MOST_REASONS:
        lines.append(f"and {len(reasons) - MOST_REASONS} reasons more")
    if counts["failed"] or counts["unfinished"]:
        lines.append("the same sweep again does what is unfinished, and with retry=true what failed")
    return "\n".join(lines)


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders of runs below a folder; raises ValueError where that is none."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name the one that peft-run was given as runs=")
    for path, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if set(FILES) & set(names):
            yield Path(path)
            inner.clear()


def state_of(path: Path, jobs: Mapping[str, str]) -> State:
    """The state of a run folder; `jobs` are those that Slurm has."""
    if (path / "result.json").exists():
        return State(path, "finished")
    if who := owner(path):
        return State(path, "running", f"by {who}")
    if state := jobs.get(content(path / "slurm.json").get("job", "")):
        return State(path, "running" if state in ("RUNNING", "COMPLETING") else "queued", f"Slurm says {state}")
    if (path / "error.json").exists():
        return State(path, "failed", content(path / "error.json").get("error", "error.json cannot be read"))
    return State(path, "unfinished")


def content(path: Path) -> dict:
    """What a JSON file says; empty where it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def began_at(path: Path) -> float:
    """When a run began: its configuration is the first thing that it writes."""
    return next(file.stat().st_mtime for file in (path / "config.yaml", path) if file.exists())


def stale(folders: Sequence[Path]) -> str:
    """The run folders below some folders whose configuration no experiment asks for, with their sizes."""
    from peft_cli.config.compose import experiment_runs

    named = {folder_of(run.config, run.choices).path.relative_to(run.config["runs"]) for run in experiment_runs()}
    lines, total, count = [], 0, 0
    for folder in folders:
        for path in run_folders(folder):
            count += 1
            if not any(str(path).endswith(f"/{name}") for name in named):
                size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                total += size
                lines.append(f"{size / 2**20:8.1f} MiB  {path}")
    lines.append(f"{len(lines)} of {count} runs are in no experiment, {total / 2**20:.1f} MiB; nothing was deleted")
    return "\n".join(lines)
