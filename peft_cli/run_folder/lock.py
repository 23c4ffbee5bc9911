"""Keeps two processes from doing one run at the same time, on one machine or on several that share a file system.

Each process that wants a folder puts a claim of its own beside the others' and then looks: who sees another living
claim withdraws. So nothing but one's own claim and those of the dead is ever removed, and no takeover can hit the
living.
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
from contextlib import contextmanager
from functools import cache
from pathlib import Path

BEAT_SECONDS = 15.0  # between two signs of life
GONE_SECONDS = 120.0  # without a sign of life from another machine
TRIES = 6
LOST = 75  # exit code of a process whose claim was removed: it was taken for dead


class Busy(ValueError):
    """Another living process is doing the run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the run in `folder` for this process; raises Busy where another living process holds it."""
    claim = take(folder)
    done = threading.Event()
    heart = threading.Thread(target=beat, args=(claim, done), daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        claim.unlink(missing_ok=True)


def take(folder: Path) -> Path:
    """This process's claim, once no other living claim stands beside it; two that collide try again a little later."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        claim = write_claim(folder)
        living, dead = others(claim)
        if not living:
            for path in dead:
                path.unlink(missing_ok=True)
            return claim
        claim.unlink(missing_ok=True)
        time.sleep(random.uniform(0.02, 0.3))
    raise Busy(f"{folder} is being done by {owner(folder) or 'another process'}; wait for it, or stop it")


def write_claim(folder: Path) -> Path:
    """A new claim of this process, complete from the moment that it can be seen."""
    claim = folder / f".lock-{uuid.uuid4().hex[:12]}"
    content = {"host": platform.node(), "machine": machine(), "pid": os.getpid(), "started": started(os.getpid())}
    partial = claim.with_name(claim.name.replace("lock", "claim"))
    partial.write_text(json.dumps(content))
    partial.replace(claim)
    return claim


def others(claim: Path) -> tuple[list[Path], list[Path]]:
    """The claims beside `claim`: those of the living and those of the dead. The time is the file system's own."""
    now = claim.stat().st_mtime
    beside = [path for path in claim.parent.glob(".lock-*") if path != claim]
    living = [path for path in beside if is_alive(path, now)]
    return living, [path for path in beside if path not in living]


def owner(folder: Path) -> str | None:
    """The process that is doing the run in `folder`, in words; None where nobody alive is."""
    for path in folder.glob(".lock-*"):
        if is_alive(path, time.time()):
            content = read(path)
            return content and f"process {content['pid']} on {content['host']}"
    return None


def is_alive(path: Path, now: float) -> bool:
    """Whether a claim's process lives: seen in this machine's processes, or by a sign of life from another machine."""
    content = read(path)
    if content is None:
        return False
    if content["machine"] == machine():
        return content["started"] is not None and started(content["pid"]) == content["started"]
    try:
        return now - path.stat().st_mtime < GONE_SECONDS
    except FileNotFoundError:
        return False


def read(path: Path) -> dict | None:
    """What a claim says; None where it is there no more, or a full disk left it empty."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


@cache
def machine() -> str:
    """What tells apart machines, their boots, and containers that see different processes."""
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return platform.node()
    return f"{platform.node()} {boot.read_text().strip()} {processes.stat().st_ino}"


def started(pid: int) -> str | None:
    """When a process of this machine began, so that its number given to another one is seen; None if it is gone."""
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


def beat(claim: Path, done: threading.Event) -> None:
    """Touches `claim` as a sign of life; ends this process if it is gone, as somebody else has the run then."""
    while not done.wait(BEAT_SECONDS):
        try:
            os.utime(claim)
        except FileNotFoundError:
            print(f"peft-run: {claim.parent} was taken over by another process; this one stops", file=sys.stderr)
            os._exit(LOST)
        except OSError as error:  # a file system that is away for a while
            print(f"peft-run: {claim}: {error.strerror}", file=sys.stderr)
