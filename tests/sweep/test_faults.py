"""A sweep that is killed again and again, run by run and as a whole, and whose disk is full for a while."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.sweep.conftest import outcomes

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


def wait(process, seconds=300):
    return process.wait(timeout=seconds)


@pytest.mark.faults
def test_whatever_is_killed_each_run_is_there_once_and_as_if_nothing_had_happened(
    peft_run, environment, tiny, tmp_path, small_disk
):
    sweep = ["-m", *tiny, f"seed=range(0,{RUNS})", "train.steps=40", "jobs=2"]
    assert wait(peft_run(*sweep, "runs=undisturbed")) == 0
    environment["PEFT_CLI_TEST"] = "1"
    chance, kills = random.Random(0), 0
    runs = small_disk / "runs"
    for life in range(3):  # of the client: the first two are killed
        client = peft_run(*sweep, f"runs={runs}", "retry=true")
        end = time.monotonic() + (12 if life < 2 else 1e9)
        while time.monotonic() < end and client.poll() is None:
            time.sleep(chance.uniform(0.1, 0.8))
            if life < 2 and (processes := runs_of(1)) and chance.random() < 0.5:
                victim = chance.choice(processes)
                if victim != client.pid:
                    os.kill(victim, chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
                    kills += 1
            if life == 1 and not (small_disk / "filler").exists():
                fill(small_disk / "filler")
        if life < 2:
            client.kill()
            client.wait()
            (small_disk / "filler").unlink(missing_ok=True)
    again = peft_run(*sweep, f"runs={runs}", "retry=true")
    assert wait(again) == 0, (tmp_path / "err.txt").read_text()[-3000:]
    assert kills >= 3
    expected, found = outcomes(tmp_path / "undisturbed"), outcomes(runs)
    assert len(found) == RUNS and found == expected


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
