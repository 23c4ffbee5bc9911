"""What lies below some folders: the results of runs, and the folders that have none.

Folders may come from anywhere: a result that cannot be read, or that is not a run's, costs a warning and nothing else.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peft_cli.report.document import one_line
from peft_cli.report.runs import Run, parse_run

FINISHED, FAILED, INTERRUPTED = "result.json", "error.json", "log.jsonl"  # the first of these is a folder's state
UNFINISHED = "unfinished"  # a log, and neither a result nor an error
LARGEST_FILE, LONGEST_LINE, LONGEST_REASON = 64 * 2**20, 2**20, 500  # bytes, bytes, characters
BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)  # what a malformed file raises


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
    warnings: list[str] = []
    runs, attempts = [], []
    for folder, state in sorted(run_folders(folders, warnings)):
        if state != FINISHED:
            attempts.append(read_attempt(folder, state))
            continue
        try:
            runs.append(parse_run(folder, read_json(folder / FINISHED)))
        except BROKEN as error:
            warnings.append(describe_error(folder / FINISHED, error))
    if not runs:
        n_failed = sum(attempt.state != UNFINISHED for attempt in attempts)
        counts = f"{n_failed} failed, {len(attempts) - n_failed} unfinished, {len(warnings)} unreadable"
        raise ValueError(f"no result of a run below {', '.join(map(str, folders))} ({counts}); peft-run makes them")
    return Inventory(runs, attempts, warnings)


def run_folders(folders: Sequence[Path], warnings: list[str]) -> Iterator[tuple[Path, str]]:
    """Yields each run folder below `folders` once, also one behind a link, with the file that is its state."""
    visited: set[str] = set()

    def warn(error: OSError) -> None:
        warnings.append(one_line(f"{error.filename}: {error.strerror}"))

    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}; name the one that peft-run was given as runs=")
        for path, inner, names in os.walk(folder, onerror=warn, followlinks=True):
            real = os.path.realpath(path)
            if real in visited:
                inner.clear()  # links that lead back here end
                continue
            visited.add(real)
            inner.sort()
            state = next((name for name in (FINISHED, FAILED, INTERRUPTED) if name in names), None)
            if state:
                yield Path(path), state


def read_attempt(folder: Path, state: str) -> Attempt:
    """Returns why a folder has no result."""
    if state == INTERRUPTED:
        return Attempt(folder, UNFINISHED, "a log, and neither a result nor an error")
    try:
        error = read_json(folder / FAILED)
        reason = one_line(error["error"].strip().partition("\n")[0].rstrip(": "))[:LONGEST_REASON]
        is_refusal = error.get("is_wrong_request", reason.startswith("ValueError"))
    except BROKEN:
        return Attempt(folder, "failed", f"{FAILED} cannot be read")
    return Attempt(folder, "impossible" if is_refusal else "failed", reason)


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file. Raises ValueError or OSError for a file that cannot be one."""
    if (size := size_of(path)) > LARGEST_FILE:
        raise ValueError(f"it has {size >> 20} MiB, and a run's has at most {LARGEST_FILE >> 20}")
    return json.loads(path.read_bytes())


def read_lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file. Raises ValueError for one that is longer than a run writes."""
    size_of(path)
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise ValueError(f"a line has more than {LONGEST_LINE >> 20} MiB")
            yield line


def size_of(path: Path) -> int:
    """Returns the bytes of a file. Raises ValueError for a device or a pipe, which may never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    return found.st_size


def describe_error(path: Path, error: BaseException) -> str:
    """Returns why a result is left out, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return one_line(f"{path}: {error.strerror}")
    reason = "its values are nested too deeply" if isinstance(error, RecursionError) else error
    return one_line(f"{path} is no result of a run ({reason}); delete that folder and run it again")
