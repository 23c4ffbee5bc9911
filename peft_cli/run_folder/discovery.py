"""Finds the folders of runs below some folders, and reads their results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peft_cli.run_folder.files import one_line, read_json, warn_once

MARKERS = {"result.json", "error.json", "slurm.json", "log.jsonl"}  # any of these makes a folder a run's
NO_RUNS = {"wandb"}  # folders inside of a run's


def find_run_folders(*roots: Path, warn: Callable[[str], None] = warn_once) -> Iterator[Path]:
    """Yields each run folder below some folders once, also behind a link; links that lead back end.

    Raises ValueError where there is no such folder; one that cannot be read costs a warning.
    """

    def skip(error: OSError) -> None:
        warn(one_line(f"{error.filename} is left out: {error.strerror}"))

    visited = set()
    for root in roots:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}; name the one that peft-run was given as runs=")
        for path, inner, names in os.walk(root, onerror=skip, followlinks=True):
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in NO_RUNS)
            own = Path(path).stat()
            if (own.st_dev, own.st_ino) in visited:
                inner.clear()
                continue
            visited.add((own.st_dev, own.st_ino))
            if not MARKERS.isdisjoint(names):
                yield Path(path)


def read_results(*roots: Path, warn: Callable[[str], None] = warn_once) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the folder and the result of each finished run below some folders; a broken result costs a warning."""
    for folder in find_run_folders(*roots, warn=warn):
        try:
            yield folder, read_json(folder / "result.json")
        except FileNotFoundError:
            continue  # not finished
        except (OSError, ValueError) as error:
            warn(one_line(f"{error}; the run is left out"))
