"""What Slurm knows about jobs, by its own commands, so that nothing hangs where no accounting runs."""

from __future__ import annotations

import getpass
import re
import signal

from peft_cli.sweep.commands import output_of

IN_TURN = ("None", "Priority", "Resources", "BeginTime", "Dependency", "JobArrayTaskLimit")  # reasons to wait that pass


def queued() -> dict[str, str] | None:
    """Returns the state of each of this user's jobs that waits or runs, by its id; None where Slurm does not answer.

    A job that waits for more than its turn has its reason behind the state: PENDING (PartitionTimeLimit).
    """
    rows = output_of("squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%A %F_%K %T %r")
    if rows is None:
        return None
    states = {}
    for row in rows.splitlines():
        number, in_array, state, reason = row.split(maxsplit=3)
        waits = state == "PENDING" and reason not in IN_TURN
        states[number] = states[in_array] = f"{state} ({reason})" if waits else state
    return states


def ended(job: str) -> str:
    """Returns how a job that has left the queue ended, as far as Slurm still knows: NODE_FAIL, FAILED by SIGKILL."""
    record = output_of("scontrol", "show", "job", job, "--oneliner") or ""
    match = re.search(r"\bJobState=(\S+).*?\bExitCode=(\d+):(\d+)", record)
    if not match:
        fields = ("--noheader", "--parsable2", "--allocations", "--jobs", job, "--format", "State,ExitCode")
        match = re.match(r"(\w+)[^|]*\|(\d+):(\d+)", output_of("sacct", *fields) or "")
    if not match:
        return "unknown to Slurm"
    state, code, number = match[1], int(match[2]), int(match[3])
    number = number or max(0, code - 128)  # a shell's exit code for a signal
    if number in set(signal.Signals):
        return f"{state} by {signal.Signals(number).name}"
    return f"{state} with exit code {code}" if code else state


def largest_array() -> int:
    """Returns how many tasks an array of jobs may have."""
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", output_of("scontrol", "show", "config") or "")
    return int(match[1]) - 1 if match else 1000


def requeue(job: str) -> bool:
    """Starts a job again from its beginning; returns whether Slurm agreed."""
    return output_of("scontrol", "requeue", job) is not None
