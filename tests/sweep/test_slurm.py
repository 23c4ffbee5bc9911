"""The launcher for Slurm, and what a job of it does.

`make slurm` runs the tests on a real Slurm with two nodes; where there can be none they fail, and never skip. It has no
accounting, as on many small clusters; with PEFT_CLI_ACCOUNTING=1 it has.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peft_cli.run_folder.lock import locked
from peft_cli.run_folder.result import folder_of
from peft_cli.sweep import Run, queue
from peft_cli.sweep.board import Board
from peft_cli.sweep.slurm import JOB, MOST_SUBMISSIONS, Resources, Slurm, job_of, never_began, printed_by
from tests.sweep.conftest import ROOT, differences, outcomes
from tests.sweep.mini_slurm import MiniSlurm

on_slurm = pytest.mark.slurm
TASK = """
import sys
from peft_cli.cli.command import Work, command
from tests.sweep import test_local
task = getattr(test_local, sys.argv.pop(1))
command(lambda: Work(task))
"""
IN_A_JOB = """
import sys, time
from pathlib import Path
from peft_cli.run_folder.lock import locked
from peft_cli.run_folder.result import folder_of
from peft_cli.sweep import Run, slurm

def finish(config, choices, overrides):
    run = folder_of(config, choices)
    with locked(run.path):
        run.finish({{}})

def load(config, choices, overrides):
    Path("loads").touch()
    time.sleep(60)

slurm.BUSY_SECONDS = 0.1
slurm.Work({{"finish": finish, "load": load}}[sys.argv[1]], Run([], {config}, {choices}))()
"""
CONFIG = {"runs": "runs", "shots": 8, "seed": 9}
CHOICES = {"data": "mini", "backbone": "tiny", "method": "pt"}
SITE = """
import os, time
from pathlib import Path
from peft_cli.run_folder import lock

def fsync(file, fsync=os.fsync):
    job = "_".join(os.environ.get(f"SLURM_ARRAY_{{part}}_ID", "") for part in ("JOB", "TASK"))
    while (disk := Path({disk!r})).exists() and disk.read_text() == job:
        time.sleep(0.1)
    time.sleep(0.5 * disk.exists())
    fsync(file)

os.fsync = fsync
lock.BEAT_SECONDS, lock.GONE_SECONDS = 1, 10
"""
SLURM = ["-m", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=1"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = MiniSlurm(tmp_path_factory.mktemp("slurm"), accounting="PEFT_CLI_ACCOUNTING" in os.environ)
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture
def slow_disk(tmp_path):
    """While this file is there, a checkpoint takes a second, and for ever in the job that it names."""
    (path := tmp_path / "disk").touch()
    return path


@pytest.fixture
def environment(slurm, tmp_path):
    """That of a client and of its jobs; nodes that are lost are so after seconds."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE.format(disk=str(tmp_path / "disk")))
    return {**slurm.env, "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def sweep(environment, tmp_path):
    """Start a sweep of one of test_local's tasks."""

    def start(task, *arguments):
        command = [sys.executable, "-c", TASK, task, *SLURM, *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(condition, seconds=240):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def jobs(runs):
    """The job of each seed."""
    return {seed(path): json.loads(path.read_text())["job"] for path in runs.rglob("slurm.json")}


def seed(path):
    """The seed of the run that a file is of."""
    return int(path.parent.name.split("seed=")[1].split("-")[0])


def logs(runs):
    return [path for path in runs.rglob("log.jsonl") if path.stat().st_size]


def running(slurm, node):
    """The jobs that run on a node."""
    return slurm.run("squeue", "--noheader", "--states=running", f"--nodelist=n{node}", "--format=%F_%K").split()


def restarts(slurm, job):
    return int(slurm.run("scontrol", "show", "job", job, "--oneliner").partition("Restarts=")[2].split()[0])


@on_slurm
def test_every_failure_has_its_reason_and_the_others_finish(sweep, tmp_path):
    client = sweep("task", "seed=0,1,2,3,4,5,7,8,9", "jobs=4")
    err = client.communicate(timeout=300)[1]
    assert client.returncode == 1 and "9 runs submitted" in err
    lines = [line.strip() for line in err.partition("7 of 9 runs failed:\n")[2].splitlines() if "printed" not in line]
    reasons = {int(lines[i].split("seed=")[1].split()[0]): lines[i + 1] for i in range(0, len(lines), 2)}
    assert reasons[1] == "KeyError: 'absent'" and reasons[2] == "SystemExit: 3" and reasons[7].startswith("absent.csv")
    assert "FAILED by SIGKILL" in reasons[3] and "FAILED by SIGSEGV" in reasons[4]
    assert "FAILED with exit code 7" in reasons[5] and reasons[8] == "MemoryError"
    assert len(list(tmp_path.rglob("result.json"))) == 2


@on_slurm
def test_runs_that_slurm_ends_go_on_and_end_with_the_same_bits(slurm, peft_run, tiny, slow_disk, tmp_path):
    sweep = ["-m", *tiny, "seed=0,1,2,3", "train.steps=150"]
    client = peft_run(*sweep, "runs=cluster", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=1")
    runs = tmp_path / "cluster"
    wait_for(lambda: len(logs(runs)) == 4)
    ids = jobs(runs).values()
    ended, hung = (job for job in ids if job in running(slurm, 1))
    others = [job for job in ids if job in running(slurm, 2)]
    for job in (ended, hung):
        slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    slow_disk.write_text(hung)
    urgent = "sbatch --parsable --partition=urgent --nodes=1 --nodelist=n2 --ntasks=2 --output=/dev/null --wrap=true"
    preempting = slurm.run(*urgent.split()).strip()
    wait_for(lambda: "COMPLETED" in slurm.run("scontrol", "show", "job", preempting))
    began_at = time.time()
    wait_for(lambda: all(path.stat().st_mtime > began_at for path in logs(runs) if jobs(runs)[seed(path)] in others))
    lost = set(others) & set(running(slurm, 2))
    slurm.kill_node(2)
    wait_for(lambda: slurm.state(2).startswith("DOWN"))
    slurm.start_node(2)
    assert lost and all(restarts(slurm, job) for job in others)
    wait_for(lambda: restarts(slurm, ended) and all(restarts(slurm, job) >= 2 for job in lost))
    slurm.run("scontrol", "update", f"JobId={ended}", "TimeLimit=60")
    wait_for(lambda: f"its Slurm job {hung} ended as TIMEOUT" in (tmp_path / "err.txt").read_text())
    slow_disk.unlink()
    assert client.wait(timeout=300) == 0, (tmp_path / "err.txt").read_text()
    assert peft_run(*sweep, "runs=local", "jobs=2").wait(timeout=300) == 0
    assert len(outcomes(runs)) == 4 and differences(outcomes(runs), outcomes(tmp_path / "local")) == {}


@on_slurm
def test_a_sweep_survives_its_client_and_a_cancelled_job_fails(slurm, sweep, environment, tmp_path):
    first = sweep("slow", "seed=0,1", "shots=450", "hydra.launcher.wait=false")
    assert "2 runs submitted" in first.communicate(timeout=300)[1] and first.returncode == 0
    wait_for(lambda: len(list(tmp_path.rglob("log.jsonl"))) == 2)
    command = [sys.executable, "-m", "peft_cli.cli.report", "--status", tmp_path / "runs"]
    report = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "2 runs: 2 running" in report and "oldest running" in report
    ids = jobs(tmp_path / "runs")
    second = sweep("slow", "seed=0,1", "shots=450")
    assert "2 runs: 0 finished already, 2 to do" in second.stderr.readline()
    assert "0 runs submitted, 2 were in the queue" in second.stderr.readline()
    slurm.run("scancel", "--full", "--signal=KILL", ids[0])
    err = second.communicate(timeout=300)[1]
    assert second.returncode == 1 and "1 of 2 runs failed" in err and "its Slurm job ended as" in err
    assert len(list(tmp_path.rglob("result.json"))) == 1


@on_slurm
def test_options_become_those_of_sbatch(slurm, sweep, tmp_path):
    options = ["hydra.launcher.minutes=7", "hydra.launcher.gpus=1", "hydra.launcher.memory_gb=1.5", "jobs=1"]
    client = sweep("task", "seed=0,9", *options, "hydra.launcher.setup=['export CUDA_VISIBLE_DEVICES_SEEN=1']")
    assert client.wait(timeout=300) == 0
    script = next((tmp_path / "runs" / ".sweep" / "slurm").glob("*.sh")).read_text()
    for line in ("--time=7", "--gpus-per-node=1", "--mem=1536M", "--array=0-1%1", "--requeue", "--signal=USR2@120"):
        assert f"#SBATCH {line}\n" in script
    assert "\nexport CUDA_VISIBLE_DEVICES_SEEN=1\n" in script
    done = [line.split()[2] for path in tmp_path.rglob("done.txt") for line in path.read_text().splitlines()]
    assert len(done) == 2 and set(done) <= {"0", "1"}


@on_slurm
def test_why_jobs_wait_for_ever_is_shown(slurm, sweep, tmp_path):
    client = sweep("task", "seed=0,9", "hydra.launcher.minutes=99999")
    lines = [client.stderr.readline() for _ in range(3)]
    assert lines[-1].startswith("waiting   2 runs: Slurm has them as PENDING (Partition")
    slurm.run("scancel", *jobs(tmp_path / "runs").values())
    assert "2 of 2 runs failed" in client.communicate(timeout=300)[1]


@on_slurm
def test_what_slurm_refuses_is_one_sentence(sweep):
    client = sweep("task", "seed=0,1", "hydra.launcher.partition=absent")
    err = client.communicate(timeout=300)[1]
    assert client.returncode == 2 and "Traceback" not in err
    assert err.splitlines()[-1] == "peft-run: Slurm refuses 2 of 2 runs: invalid partition specified: absent"


@on_slurm
def test_without_slurm_there_is_one_sentence(sweep, environment):
    environment["PATH"] = str(Path(sys.executable).parent)
    client = sweep("task", "seed=0,1")
    err = client.communicate(timeout=300)[1]
    assert client.returncode == 2 and err.splitlines()[-1].startswith("peft-run: hydra/launcher=slurm needs Slurm")


@pytest.fixture
def job(tmp_path):
    """Start what a job does, with a scontrol that writes down its arguments."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho $@ > arguments\n")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    script, started = IN_A_JOB.format(config=CONFIG, choices=CHOICES), []

    def start(task):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "SLURM_JOB_ID": "7"}
        started.append(subprocess.Popen([sys.executable, "-c", script, task], cwd=tmp_path, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_job_waits_for_a_run_that_another_process_holds(job, tmp_path):
    run = folder_of(CONFIG | {"runs": str(tmp_path / "runs")}, CHOICES)
    with locked(run.path):
        process = job("finish")
        wait_for(lambda: "is being done by process" in run.output_end())
        assert process.poll() is None
    assert process.wait(timeout=120) == 0 and run.is_finished and run.failure() is None


def test_the_notice_of_a_time_limit_requeues_a_job_that_still_loads(job, tmp_path):
    process = job("load")
    wait_for((tmp_path / "loads").exists)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(timeout=120) == 0 and (tmp_path / "arguments").read_text() == "requeue 7\n"
    assert not list(tmp_path.rglob("error.json"))


def resources(minutes):
    nothing = dict.fromkeys(("partition", "cpus", "gpus", "memory_gb"))
    return Resources(**nothing, minutes=minutes, setup=[], more={}, wait=True, poll_seconds=1)


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 30), (3, 90), (240, 120)])
def test_a_short_job_gets_no_notice_of_its_time_limit_as_soon_as_it_starts(minutes, seconds):
    assert resources(minutes).parameters()["signal_delay_s"] == seconds


def test_a_lost_run_that_slurm_refuses_is_submitted_again_later_but_not_for_ever(monkeypatch, tmp_path):
    refused = SimpleNamespace(submit_array=Mock(side_effect=RuntimeError("sbatch: error: too many jobs")))
    run = Run([], CONFIG | {"runs": str(tmp_path)}, CHOICES)
    engine = Slurm(None, None, resources(60))
    engine.board = Board(1, 1)
    monkeypatch.setattr(queue, "ended", lambda job: "NODE_FAIL")
    monkeypatch.setattr(engine, "executor", lambda run: refused)
    with pytest.raises(ValueError, match="Slurm refuses 1 of 1 runs: too many jobs"):
        engine.submit([run])
    lost = [engine.is_lost(run, {}) for _ in range(MOST_SUBMISSIONS)]
    assert lost == [False] * (MOST_SUBMISSIONS - 1) + [True] and "NODE_FAIL" in run.folder.failure().reason


@pytest.mark.parametrize(
    ("last", "never"),
    [("srun: error: Unable to create step for job 2: Job/step already completing", True), ("x", False)],
)
def test_a_job_in_which_slurm_could_not_start_the_run_is_recognised(last, never, tmp_path):
    run = Run([], CONFIG | {"runs": str(tmp_path)}, CHOICES)
    run.folder.path.mkdir(parents=True)
    printed = tmp_path / "log.out"
    run.folder.write(JOB, {"job": "2_0", "printed": str(printed)})
    assert job_of(run) == "2_0" and printed_by(run) == printed and not never_began(run)
    printed.write_text(f"srun: got SIGCONT\n{last}\n")
    assert never_began(run) == never


JSON = st.none() | st.integers() | st.text() | st.lists(st.text())


@given(st.fixed_dictionaries({}, optional={"job": JSON, "printed": JSON}) | JSON)
@example({"job": "--help", "printed": "/dev/zero"})
@example({"job": "7\n", "printed": "../../x"})
@example({"job": "7_1", "printed": "/dev/zero"})
def test_a_job_from_elsewhere_is_a_number_and_what_it_printed_below_runs(content):
    with TemporaryDirectory() as folder:
        run = Run([], CONFIG | {"runs": folder}, CHOICES)
        run.folder.path.mkdir(parents=True)
        (run.folder.path / JOB).write_text(json.dumps(content))
        assert set(job_of(run)) <= set("0123456789_") and not never_began(run)
        assert printed_by(run) is None or printed_by(run).resolve().is_relative_to(Path(folder).resolve())


def test_scripts_are_not_written_through_a_link(tmp_path):
    (tmp_path / ".sweep").symlink_to(tmp_path)
    run = Run([], CONFIG | {"runs": str(tmp_path)}, CHOICES)
    with pytest.raises(ValueError, match=r"\.sweep/slurm is a link, and a sweep writes below runs= alone; delete it"):
        Slurm(None, None, resources(60)).executor(run)
