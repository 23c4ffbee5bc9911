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
from peft_cli.sweep import Run, local

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


def test_each_way_to_fail_costs_one_run_and_has_its_reason(peft_run, tmp_path):
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


def test_finished_runs_are_skipped_and_failed_ones_fail_again_without_a_process(peft_run, tmp_path, monkeypatch):
    peft_run("-m", "seed=0,1")
    assert len(done(tmp_path)) == 1
    monkeypatch.setattr(local, "context", None)  # whatever starts a process would raise
    code, err = peft_run("-m", "seed=1,0", "wandb=offline")
    assert code == 1 and "2 runs: 1 finished already, 1 failed earlier (retry=true runs them again), 0 to do" in err
    assert "KeyError: 'absent'" in err.partition("1 of 2 runs failed:")[2]
    monkeypatch.undo()


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


GPU_RUN = Run([], {"backbone": {"device": "auto"}}, {})


@pytest.mark.parametrize(
    ("jobs", "jobs_per_gpu", "expected"),
    [(None, 1, "01"), (None, 3, "010101"), (3, 1, "010"), (3, 2, "010"), (1, 4, "0")],
)
def test_runs_are_spread_over_the_gpus_that_nvidia_smi_has(monkeypatch, tmp_path, jobs, jobs_per_gpu, expected):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0\necho 1\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    found = local.slots(jobs, jobs_per_gpu, [GPU_RUN])
    assert "".join(slot["CUDA_VISIBLE_DEVICES"] for slot in found) == expected
    assert {slot.get("OMP_NUM_THREADS") for slot in found} == {str(6 // len(found)) if len(found) > 1 else None}


@pytest.mark.parametrize(
    ("visible", "jobs", "sentence"),
    [
        ("", None, "jobs_per_gpu=2 is for GPUs, and these runs have none; use jobs=2 on a CPU"),
        ("0", 3, "jobs=3 is more than the 2 that jobs_per_gpu=2 allows on 1 GPUs"),
    ],
)
def test_more_runs_on_a_gpu_than_can_be_are_one_sentence(monkeypatch, visible, jobs, sentence):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ValueError, match=sentence):
        local.slots(jobs, 2, [GPU_RUN])


def test_a_gpu_whose_driver_does_not_answer_is_none(monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.slots(None, 1, [GPU_RUN]) == [{}]


def test_the_process_that_is_copied_has_what_a_run_imports():
    wanted = "{'torch', 'transformers', 'peft_cli.train', 'peft_cli.backbone.model', 'peft_cli.run_folder.checkpoint'}"
    code = f"import sys, {', '.join(local.WARM)}; print({wanted} - sys.modules.keys())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed == "set()\n"


def test_runs_that_is_a_file_is_one_sentence(peft_run, tmp_path):
    (tmp_path / "taken").write_text("mine")
    code, err = peft_run("-m", "seed=0,9", "runs=taken")
    assert code == 2 and err.startswith("peft-run: runs=taken") and err.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_runs_that_cannot_be_written_to_is_one_sentence_unless_all_are_finished(peft_run, tmp_path, monkeypatch):
    peft_run("-m", "seed=0,9")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere but on a read-only disk
    assert peft_run("-m", "seed=0,9")[0] == 0
    code, err = peft_run("-m", "seed=0,10")
    assert code == 2 and len(done(tmp_path)) == 2
    assert err.splitlines()[-1].startswith("peft-run: runs=runs cannot be written to, and not all of its runs are")


def test_what_a_run_prints_is_not_written_through_a_link(peft_run, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    peft_run("-m", "seed=1")
    (error,) = tmp_path.rglob("error.json")
    for name in ("output.log", "error.json", ".error.json.partial", "log.jsonl"):
        (error.parent / name).unlink(missing_ok=True)
        (error.parent / name).symlink_to(mine)
    peft_run("-m", "seed=1", "retry=true")
    assert mine.read_text() == "mine" and json.loads(error.read_text())["error"] == "KeyError: 'absent'"
    assert "seed 1\n" in (error.parent / "output.log").read_text() and not error.is_symlink()


@pytest.mark.parametrize("name", ["result.json", "error.json"])
def test_a_broken_file_costs_its_own_run_alone(peft_run, tmp_path, name):
    peft_run("-m", "seed=0,9")
    first = min(tmp_path.rglob("result.json")).parent
    (first / "result.json").unlink()
    (first / name).write_text("")
    code, err = peft_run("-m", "seed=0,9")
    assert code == 0 and "2 runs: 1 finished already, 1 to do" in err
    assert f"{(first / name).relative_to(tmp_path)} cannot be read" in err and json.loads(
        (first / "result.json").read_text()
    )


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
