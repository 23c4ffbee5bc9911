"""What Slurm says about jobs. It is asked in its own commands, so that nothing hangs where no accounting runs."""

from __future__ import annotations

import getpass
import re
import shutil
import signal
import subprocess

ASK_SECONDS = 60  # after which a command that does not answer is given up
IN_TURN = ("None", "Priority", "Resources", "BeginTime", "Dependency", "JobArrayTaskLimit")  # reasons to wait that pass


def queued() -> dict[str, str] | None:
    """The state of each of this user's jobs that waits or runs, by its id; None where Slurm does not answer.

    A job that waits for more than its turn has its reason behind the state: PENDING (PartitionTimeLimit).
    """
    told = ask("squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%A %F_%K %T %r")
    if told is None:
        return None
    states = {}
    for row in told.splitlines():
        number, in_array, state, reason = row.split(maxsplit=3)
        waits = state == "PENDING" and reason not in IN_TURN
        states[number] = states[in_array] = f"{state} ({reason})" if waits else state
    return states


def ended(job: str) -> str:
    """How a job that is in the queue no more has ended, as far as Slurm still knows: NODE_FAIL, FAILED by SIGKILL."""
    told = ask("scontrol", "show", "job", job, "--oneliner") or ""
    found = re.search(r"\bJobState=(\S+).*?\bExitCode=(\d+):(\d+)", told)
    if not found:
        told = ask("sacct", "--noheader", "--parsable2", "--allocations", "--jobs", job, "--format", "State,ExitCode")
        found = re.match(r"(\w+)[^|]*\|(\d+):(\d+)", told or "")
    if not found:
        return "unknown to Slurm"
    state, code, number = found[1], int(found[2]), int(found[3])
    number = number or max(0, code - 128)  # a shell's way to tell of a signal
    if number in set(signal.Signals):
        return f"{state} by {signal.Signals(number).name}"
    return f"{state} with exit code {code}" if code else state


def largest_array() -> int:
    """How many tasks an array of jobs may have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config") or "")
    return int(found[1]) - 1 if found else 1000


def requeue(job: str) -> bool:
    """Has a job start again from its beginning; whether Slurm agreed."""
    return ask("scontrol", "requeue", job) is not None


def ask(*command: str) -> str | None:
    """What a command prints; None where it fails, does not answer or is not there."""
    if not shutil.which(command[0]):
        return None
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return told.stdout if told.returncode == 0 else None
