"""Sweeps on this machine; the task is the tests' own and fails in every way there is, in a process of its own."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peft_cli.cli.command import Work, command
from peft_cli.run_folder.lock import locked
from peft_cli.run_folder.result import folder_of
from peft_cli.sweep import local

ROOT = Path(__file__).parents[2]
SLOW = """
import sys
sys.path.insert(0, {root!r})
from peft_cli.cli.command import Work, command
from peft_cli.sweep import local
from tests.sweep.test_local import slow
local.WARM = []
if __name__ == "__main__":
    command(lambda: Work(slow))
"""


def finish(run):
    run.path.mkdir(parents=True, exist_ok=True)
    with (run.path.parent / "done.txt").open("a") as file:
        file.write(f"{run.path.name} {os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    run.finish({"scores": {"bleu": 1.0}})


def task(config, choices, overrides):
    """One way to end for each seed."""
    run = folder_of(config, choices)
    if run.is_finished:
        return
    with locked(run.path):
        ways = {
            1: lambda: {}["absent"],
            2: lambda: sys.exit(3),
            3: lambda: os.kill(os.getpid(), signal.SIGKILL),
            4: lambda: ctypes.string_at(0),
            5: lambda: os._exit(7),
            6: lambda: os.kill(os.getpid(), signal.SIGTERM),
            7: lambda: Path("absent.csv").read_text(),
            8: lambda: bytearray(1 << 60),
        }
        print("seed", config["seed"], flush=True)
        ways.get(config["seed"], lambda: None)()
        finish(run)


def fragile(config, choices, overrides, place=None):
    """Ends its process where other runs are in it; alone, only one seed fails."""
    run = folder_of(config, choices)
    with locked(run.path):
        if place is not None and config["seed"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if place is not None and config["seed"] == 0:
            place.compute(None, *[_Method()] * 3)  # waits for the others
        if config["seed"] == 2:
            raise KeyError("absent")
        finish(run)


class _Method:
    """What a place asks of a method that waits."""

    class model:
        training = False


REASONS = {
    1: "KeyError: 'absent'",
    2: "SystemExit: 3",
    3: "killed by SIGKILL, as the system does when memory runs out",
    4: "killed by SIGSEGV, a crash outside of Python",
    5: "ended with exit code 7 before its result was there",
    6: "killed by SIGTERM",
    7: "absent.csv: No such file or directory",
    8: "MemoryError",
}


def slow(config, choices, overrides):
    """Takes half a second, and stops at a signal with a checkpoint of its own kind."""
    from peft_cli.run_folder.signals import Signals

    run, signals = folder_of(config, choices), Signals()
    with locked(run.path), signals.listening():
        if run.is_finished:  # another process did it just before, as peft-run sees too
            return
        (run.path / "log.jsonl").touch()
        for _ in range(config["shots"]):
            time.sleep(0.05)
            if signals.stop_number:
                (run.path / "kept").touch()
            signals.check()
        finish(run)


@pytest.fixture
def peft_run(monkeypatch, capfd, tmp_path):
    """Call the command in this process; returns the exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, task=task):
        monkeypatch.setattr(sys, "argv", ["peft-run", *arguments])
        code = 0
        try:
            command(lambda: Work(task))
        except SystemExit as error:
            code = error.code
        return code, capfd.readouterr().err

    return call


@pytest.fixture
def client(tmp_path):
    """Start a sweep of slow runs in a process of its own."""
    started = []
    script = tmp_path / "slow.py"
    script.write_text(SLOW.format(root=str(ROOT)))

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, script, "-m", "runs=runs", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def errors(runs):
    found = [(path, json.loads(path.read_text())) for path in runs.rglob("error.json")]
    return {int(path.parent.name.split("seed=")[1].split("-")[0]): error for path, error in found}


def done(runs):
    return [line.split() for path in runs.rglob("done.txt") for line in path.read_text().splitlines()]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_each_way_to_fail_costs_one_run_and_is_told(peft_run, tmp_path):
    code, err = peft_run("-m", "seed=range(0,10)", "jobs=2")
    assert code == 1
    kept = errors(tmp_path / "runs")
    assert sorted(kept) == sorted(REASONS) and len(done(tmp_path)) == 2
    for seed, start in REASONS.items():
        assert kept[seed]["error"].startswith(start)
        assert kept[seed]["command"] == f"peft-run seed={seed} jobs=2"
        assert f"seed {seed}\n" in Path(kept[seed]["log"]).read_text()
        assert kept[seed]["error"] in err.partition("8 of 10 runs failed:")[2]
    assert "absent" in kept[1]["traceback"] and "in task" in kept[1]["traceback"]
    assert "Segmentation fault" in kept[4]["traceback"] and "test_local.py" in kept[4]["traceback"]


def test_finished_runs_are_skipped_and_failed_ones_told_again_without_a_process(peft_run, tmp_path, monkeypatch):
    peft_run("-m", "seed=0,1")
    assert len(done(tmp_path)) == 1
    monkeypatch.setattr(local, "context", None)  # whatever starts a process would raise
    code, err = peft_run("-m", "seed=1,0", "wandb=offline")
    assert code == 1 and "2 runs: 1 finished already, 1 failed earlier (retry=true runs them again), 0 to do" in err
    assert "KeyError: 'absent'" in err.partition("1 of 2 runs failed:")[2]
    monkeypatch.undo()


def test_when_a_process_of_several_runs_is_killed_each_goes_on_alone(peft_run, tmp_path):
    code, err = peft_run("-m", "seed=0,1,2", "fuse=3", task=fragile)
    assert code == 1 and "fuse=3: 3 runs in 1 process" in err
    assert len(done(tmp_path)) == 2 and errors(tmp_path / "runs")[2]["error"] == "KeyError: 'absent'"


def test_retry_runs_what_failed_again(peft_run, tmp_path):
    peft_run("-m", "seed=1")
    (path,) = tmp_path.rglob("error.json")
    path.write_text("{}")
    code, _ = peft_run("-m", "seed=1", "retry=true")
    assert code == 1 and json.loads(path.read_text())["error"] == "KeyError: 'absent'"


def test_combinations_that_are_one_run_are_done_once(peft_run, tmp_path):
    code, err = peft_run("-m", "shots=0", "seed=1,2", "method=pt,ft")
    assert (code, len(errors_of_untouched := list(tmp_path.rglob("error.json")))) == (1, 1), errors_of_untouched
    assert "1 runs in 4 combinations" in err and "4 of 4 runs failed" in err


def test_jobs_share_the_threads(peft_run, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    peft_run("-m", "seed=0,9", "jobs=2")
    assert [line[1] for line in done(tmp_path)] == ["2", "2"]


def test_each_gpu_gets_one_run_at_a_time(peft_run, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    peft_run("-m", "seed=0,9,10,11")
    found = [line[2] for line in done(tmp_path)]
    assert len(found) == 4 and set(found) == {"3", "GPU-7"}


@pytest.mark.parametrize(
    ("value", "hint"), [("jobs=0", "greater than 0"), ("retry=1", "true or false"), ("plan=x", "probe")]
)
def test_a_wrong_option_of_a_sweep_is_one_sentence(value, hint, peft_run):
    code, err = peft_run("-m", value, "seed=0,1")
    assert code == 2 and err.startswith(f"peft-run: {value} is not possible") and hint in err and err.count("\n") == 1


def test_ctrl_c_stops_each_run_where_it_can_go_on(client, tmp_path):
    process = client("seed=0,1,2", "jobs=2", "shots=400")
    wait_for(lambda: len(list(tmp_path.rglob("log.jsonl"))) == 2)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 130 and "stopping: each run writes a checkpoint" in err
    assert len(list(tmp_path.rglob("kept"))) == 2 and not list(tmp_path.rglob("error.json"))
    assert not list(tmp_path.rglob(".lock-*"))


def test_ctrl_c_twice_ends_all_at_once(client, tmp_path):
    process = client("seed=0", "shots=400")
    wait_for(lambda: list(tmp_path.rglob("log.jsonl")))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode in (130, 143) and not list(tmp_path.rglob("error.json"))


def test_runs_stop_when_their_client_is_killed(client, tmp_path):
    process = client("seed=0", "shots=400")
    wait_for(lambda: list(tmp_path.rglob("log.jsonl")))
    time.sleep(0.2)
    process.kill()
    wait_for(lambda: list(tmp_path.rglob("kept")))
    wait_for(lambda: not list(tmp_path.rglob(".lock-*")))


def test_two_clients_do_each_run_once(client, tmp_path):
    clients = [client("seed=range(0,6)", "shots=6"), client("seed=range(5,-1,-1)", "shots=6")]
    assert [(process.communicate(timeout=60)[1], process.returncode)[1] for process in clients] == [0, 0]
    assert len(done(tmp_path)) == 6


@pytest.mark.parametrize("option", ["jobs=2", "jobs_per_gpu=2"])
def test_what_one_process_cannot_do_is_refused(option, peft_run, tmp_path):
    code, err = peft_run("-m", "hydra/launcher=basic", option, "seed=0,1")
    assert code == 2 and "is for hydra/launcher=local" in err and not done(tmp_path)


@pytest.mark.parametrize("launcher", ["basic", "slurm"])
def test_runs_stand_side_by_side_on_this_machine_alone(peft_run, tmp_path, launcher):
    code, err = peft_run("-m", f"hydra/launcher={launcher}", "fuse=2", "seed=0,1")
    assert code == 2 and "fuse=2 is for hydra/launcher=local alone" in err and not done(tmp_path)
