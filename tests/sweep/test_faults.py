"""A sweep that is killed again and again, run by run and as a whole, and whose disk is full for a while."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sweep.conftest import differences, outcomes

RUNS = 30


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MB that is full as soon as somebody fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def runs_of(client: int) -> list[int]:
    """The processes of runs: those that were copied for a client, in a session of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            ours = f"PEFT_CLI_TEST={client}\0".encode() in path.read_bytes()
            fields = (path.parent / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if ours and fields[3] == path.parent.name:  # the leader of its session
            found.append(int(path.parent.name))
    return found


def wait(process, seconds=900):
    return process.wait(timeout=seconds)


@pytest.mark.faults
def test_whatever_is_killed_each_run_is_there_once_and_as_if_nothing_had_happened(
    peft_run, environment, tiny, tmp_path, small_disk
):
    sweep = ["-m", *tiny, f"seed=range(0,{RUNS})", "train.steps=40", "jobs=2"]
    assert wait(peft_run(*sweep, "runs=undisturbed")) == 0
    environment["PEFT_CLI_TEST"] = "1"
    chance, runs = random.Random(0), small_disk / "runs"
    for life in (1, 2):
        client = peft_run(*sweep, f"runs={runs}", "retry=true")
        kill_runs(client, chance, number=4)
        if life == 2:
            fill(small_disk / "filler")
            kill_runs(client, chance, number=2)
        client.kill()
        client.wait()
        (small_disk / "filler").unlink(missing_ok=True)
    wait(peft_run(*sweep, f"runs={runs}", "retry=true"))
    assert wait(peft_run(*sweep, f"runs={runs}", "retry=true")) == 0, (tmp_path / "err.txt").read_text()[-3000:]
    expected, found = outcomes(tmp_path / "undisturbed"), outcomes(runs)
    assert len(found) == RUNS and differences(found, expected) == {}


def kill_runs(client, chance, number):
    """Kills some runs of a client that is at work, in several ways and at random moments."""
    while number and client.poll() is None:
        time.sleep(chance.uniform(0.1, 1.5))
        if processes := [pid for pid in runs_of(1) if pid != client.pid]:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(chance.choice(processes), chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
                number -= 1


def fill(path):
    """Writes until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 65536)
        except OSError:
            return


@pytest.mark.faults
def test_a_full_disk_fails_its_runs_and_nothing_else(peft_run, tiny, tmp_path, small_disk):
    fill(small_disk / "filler")
    process = peft_run("-m", *tiny, "seed=0,1", "train.steps=5", f"runs={small_disk}/runs")
    assert wait(process) in (1, 2)
    assert "No space left on device" in (tmp_path / "err.txt").read_text()
    (small_disk / "filler").unlink()
    assert wait(peft_run("-m", *tiny, "seed=0,1", "train.steps=5", f"runs={small_disk}/runs", "retry=true")) == 0
    assert len(outcomes(small_disk / "runs")) == 2
