"""The launcher for Slurm, on a real one with two nodes. `make slurm` runs this; without a Slurm it fails, never skips.

Slurm has no accounting here, as on many small clusters; with PEFT_CLI_ACCOUNTING=1 it has.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweep.conftest import ROOT, differences, outcomes
from tests.sweep.mini_slurm import MiniSlurm

pytestmark = pytest.mark.slurm
TASK = """
import sys
from peft_cli.command import command
from tests.sweep import test_local
command(getattr(test_local, sys.argv.pop(1)))()
"""
SLURM = ["-m", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=1"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = MiniSlurm(tmp_path_factory.mktemp("slurm"), accounting="PEFT_CLI_ACCOUNTING" in os.environ)
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture
def environment(slurm):
    return {**slurm.env, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def sweep(environment, tmp_path):
    """Start a sweep of one of test_local's tasks."""

    def start(task, *arguments):
        command = [sys.executable, "-c", TASK, task, *SLURM, *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def jobs(runs):
    """The job of each seed."""
    found = {path.parent.name: json.loads(path.read_text())["job"] for path in runs.rglob("slurm.json")}
    return {int(name.split("seed=")[1].split("-")[0]): job for name, job in found.items()}


def logs(runs):
    return [path for path in runs.rglob("log.jsonl") if path.stat().st_size]


def restarts(slurm, job):
    return int(slurm.run("scontrol", "show", "job", job, "--oneliner").partition("Restarts=")[2].split()[0])


def test_every_failure_is_told_and_the_others_finish(sweep, tmp_path):
    client = sweep("task", "seed=0,1,2,3,4,5,7,8,9", "jobs=4")
    err = client.communicate(timeout=180)[1]
    assert client.returncode == 1 and "9 runs submitted" in err
    lines = [line.strip() for line in err.partition("7 of 9 runs failed:\n")[2].splitlines() if "printed" not in line]
    reasons = {int(lines[i].split("seed=")[1].split()[0]): lines[i + 1] for i in range(0, len(lines), 2)}
    assert reasons[1] == "KeyError: 'absent'" and reasons[2] == "SystemExit: 3" and reasons[7].startswith("absent.csv")
    assert "FAILED by SIGKILL" in reasons[3] and "FAILED by SIGSEGV" in reasons[4]
    assert "FAILED with exit code 7" in reasons[5] and reasons[8] == "MemoryError"
    assert len(list(tmp_path.rglob("result.json"))) == 2


def test_preempted_requeued_and_lost_runs_go_on_and_end_with_the_same_bits(slurm, peft_run, tiny, tmp_path):
    sweep = ["-m", *tiny, "seed=0,1,2,3", "train.steps=300"]
    client = peft_run(*sweep, "runs=cluster", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=1")
    runs = tmp_path / "cluster"
    wait_for(lambda: len(logs(runs)) == 4)
    ids = jobs(runs)
    time.sleep(1)
    slurm.run("scancel", "--signal=USR2", ids[0])  # what a time limit sends
    wait_for(lambda: restarts(slurm, ids[0]) == 1)
    urgent = slurm.run(
        "sbatch", "--parsable", "-p", "urgent", "-w", "n2", "-n2", "-o", "/dev/null", "--wrap", "sleep 2"
    )
    wait_for(lambda: "COMPLETED" in slurm.run("scontrol", "show", "job", urgent.strip()))
    wait_for(lambda: len(slurm.run("squeue", "-h", "-t", "running", "-w", "n1").splitlines()))
    slurm.kill_node(1)
    wait_for(lambda: "down" in slurm.run("sinfo", "-h", "-n", "n1", "-o", "%t"))
    slurm.start_node(1)
    assert client.wait(timeout=240) == 0, (tmp_path / "err.txt").read_text()
    assert sum(restarts(slurm, job) for job in ids.values()) >= 4
    assert peft_run(*sweep, "runs=local").wait(timeout=240) == 0
    assert len(outcomes(runs)) == 4 and differences(outcomes(runs), outcomes(tmp_path / "local")) == {}


def test_a_sweep_survives_its_client_and_a_cancelled_job_is_told(slurm, sweep, environment, tmp_path):
    first = sweep("slow", "seed=0,1", "shots=300", "hydra.launcher.wait=false")
    assert "2 runs submitted" in first.communicate(timeout=60)[1] and first.returncode == 0
    wait_for(lambda: len(list(tmp_path.rglob("log.jsonl"))) == 2)
    command = [sys.executable, "-m", "peft_cli.report", "--status", tmp_path / "runs"]
    report = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "2 runs: 2 running" in report and "oldest running" in report
    ids = jobs(tmp_path / "runs")
    second = sweep("slow", "seed=0,1", "shots=300")
    assert "2 runs: 0 finished already, 2 to do" in second.stderr.readline()
    assert "0 runs submitted, 2 were in the queue" in second.stderr.readline()
    slurm.run("scancel", "--full", "--signal=KILL", ids[0])
    err = second.communicate(timeout=120)[1]
    assert second.returncode == 1 and "1 of 2 runs failed" in err and f"its Slurm job {ids[0]} ended as" in err
    assert len(list(tmp_path.rglob("result.json"))) == 1


def test_options_become_those_of_sbatch(slurm, sweep, tmp_path):
    options = ["hydra.launcher.minutes=7", "hydra.launcher.gpus=1", "hydra.launcher.memory_gb=1.5", "jobs=1"]
    client = sweep("task", "seed=0,9", *options, "hydra.launcher.setup=['export CUDA_VISIBLE_DEVICES_SEEN=1']")
    assert client.wait(timeout=120) == 0
    script = next((tmp_path / "runs" / ".sweep" / "slurm").glob("*.sh")).read_text()
    for line in ("--time=7", "--gpus-per-node=1", "--mem=1536M", "--array=0-1%1", "--requeue", "--signal=USR2@120"):
        assert f"#SBATCH {line}\n" in script
    assert "\nexport CUDA_VISIBLE_DEVICES_SEEN=1\n" in script
    done = [line.split()[2] for path in tmp_path.rglob("done.txt") for line in path.read_text().splitlines()]
    assert len(done) == 2 and set(done) <= {"0", "1"}


def test_without_slurm_one_sentence_says_so(sweep, environment):
    environment["PATH"] = str(Path(sys.executable).parent)
    client = sweep("task", "seed=0,1")
    err = client.communicate(timeout=60)[1]
    assert client.returncode == 2 and err.splitlines()[-1].startswith("peft-run: hydra/launcher=slurm needs Slurm")
