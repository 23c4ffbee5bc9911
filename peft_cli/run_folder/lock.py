"""Keeps two processes from doing one run at the same time, on one machine or on several that share a file system.

Each process that wants a folder puts a claim of its own into it and then looks: who sees another living claim
withdraws. So nothing but one's own claim and those of the dead is ever removed, and no takeover can hit the living.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from peft_cli.run_folder.files import make_folder, one_line, read_json

BEAT_SECONDS = 15.0  # between two signs of life
GONE_SECONDS = 120.0  # without a sign of life from another machine
TRIES = 6
LOCK_LOST = 75  # exit code of a process whose claim was removed: it was taken for dead


class AlreadyRunning(ValueError):
    """Another living process is doing the run."""


class Claim(NamedTuple):
    """What a process writes down about itself."""

    host: str
    machine: str
    pid: int
    started: str | None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the run in `folder` for this process; raises AlreadyRunning where another living process holds it."""
    path = acquire(folder)
    done = threading.Event()
    heart = threading.Thread(target=keep_alive, args=(path, done), daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        path.unlink(missing_ok=True)


def acquire(folder: Path) -> Path:
    """Returns this process's claim once no other one lives; of two that collide, both try again a little later."""
    make_folder(folder)
    for _ in range(TRIES):
        path = write_claim(folder)
        living, dead = other_claims(path)
        if not living:
            for other in dead:
                with suppress(OSError):  # another process removed it, or it is no file
                    other.unlink()
            return path
        path.unlink(missing_ok=True)
        time.sleep(random.uniform(0.02, 0.3))
    raise AlreadyRunning(f"{folder} is being done by {owner(folder) or 'another process'}; wait for it, or stop it")


def write_claim(folder: Path) -> Path:
    """Writes a claim of this process, complete from the moment that it can be seen, and returns its path."""
    path = folder / f".lock-{uuid.uuid4().hex[:12]}"
    claim = Claim(platform.node(), machine(), os.getpid(), start_time(os.getpid()))
    partial = path.with_name(path.name.replace("lock", "claim"))
    partial.write_text(json.dumps(claim._asdict()))
    partial.replace(path)
    return path


def other_claims(own: Path) -> tuple[list[Path], list[Path]]:
    """Returns the other claims in a folder: those of the living and those of the dead, by the file system's clock."""
    now = own.stat().st_mtime
    others = [path for path in own.parent.glob(".lock-*") if path != own]
    living = [path for path in others if is_alive(path, now)]
    return living, [path for path in others if path not in living]


def owner(folder: Path) -> str | None:
    """Returns a phrase for the living process that is doing the run in `folder`, or None."""
    for path in folder.glob(".lock-*"):
        if is_alive(path, time.time()) and (claim := read_claim(path)):
            return one_line(f"process {claim.pid} on {claim.host}")
    return None


def is_alive(path: Path, now: float) -> bool:
    """Whether a claim's process lives: it is one of this machine's, or another machine's that gave a sign lately.

    A sign of life in the future comes from a wrong clock, and counts as little as an old one.
    """
    claim = read_claim(path)
    if claim is None:
        return False
    if claim.machine == machine():
        return claim.started is not None and start_time(claim.pid) == claim.started
    try:
        return abs(now - path.stat().st_mtime) < GONE_SECONDS
    except FileNotFoundError:
        return False


def read_claim(path: Path) -> Claim | None:
    """Returns what a claim holds; None where it was removed, is empty after a full disk, or is no claim."""
    try:
        claim = Claim(**read_json(path))
    except PermissionError:
        return Claim("a machine of another user", "", 1, None)
    except (FileNotFoundError, IsADirectoryError, ValueError, TypeError):
        return None
    types = (str, str, int, str | None)
    is_claim = all(isinstance(value, kind) for value, kind in zip(claim, types, strict=True))
    return claim if is_claim and 0 < claim.pid < 2**31 else None


@cache
def machine() -> str:
    """Returns what tells apart machines, their boots, and containers that see different processes."""
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return platform.node()
    return f"{platform.node()} {boot.read_text().strip()} {processes.stat().st_ino}"


def start_time(pid: int) -> str | None:
    """Returns when a process of this machine began, which tells it from a later one of its number; None without one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # proc(5): state is field 3, starttime 22
    except (FileNotFoundError, ProcessLookupError):
        return "alive" if not Path("/proc/self").exists() and exists(pid) else None


def exists(pid: int) -> bool:
    """Whether a process has this number, where there is no /proc to look it up in."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def keep_alive(path: Path, done: threading.Event) -> None:
    """Touches a claim as a sign of life; ends this process if it is gone, as another process has the run then."""
    while not done.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            print(f"peft-run: {path.parent} was taken over by another process; this one stops", file=sys.stderr)
            os._exit(LOCK_LOST)
        except OSError as error:  # a file system that is away for a while
            print(f"peft-run: {path}: {error.strerror}", file=sys.stderr)
