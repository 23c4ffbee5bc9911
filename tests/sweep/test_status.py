import json
import os
import shutil
import time
from pathlib import Path

import pytest

from peft_cli import report
from peft_cli.config.compose import experiment_runs
from peft_cli.run_folder.lock import locked
from peft_cli.run_folder.result import RunFolder, folder_of
from peft_cli.sweep.status import stale, status


@pytest.fixture
def checkout(tmp_path_factory, monkeypatch):
    """A copy of conf/ with one experiment beside it, which is read in place of ours."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(Path(__file__).parents[2] / "conf", folder / "conf")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "table1.yaml").write_text("hydra: {sweeper: {params: {method: 'pt,ft', seed: '0,1'}}}")
    monkeypatch.setattr(options, "PACKAGE", folder / "peft_cli")


@pytest.fixture
def runs(tmp_path):
    for name in ("done", "broken", "broken2", "torn", "half", "live"):
        RunFolder(tmp_path / "mini" / name).open({}, goes_on=False)
    folder = tmp_path / "mini"
    RunFolder(folder / "done").finish({})
    for name in ("broken", "broken2"):
        RunFolder(folder / name).write_error("OutOfMemoryError: too much", False, "", "peft-run")
    (folder / "torn" / "error.json").write_text("{")
    return tmp_path


def test_status_counts_all_states_and_tells_reasons(runs):
    hour_ago = time.time() - 3600
    os.utime(runs / "mini" / "live" / "config.yaml", (hour_ago, hour_ago))
    with locked(runs / "mini" / "live"):
        told = status([runs])
    assert told.startswith("6 runs: 1 finished, 1 running, 3 failed, 1 unfinished\n")
    assert f"oldest running: {runs}/mini/live, for 60 min, by process {os.getpid()}" in told
    assert "failed, 2: OutOfMemoryError: too much\n" in told and "failed, 1: error.json cannot be read" in told
    assert "retry=true" in told


def test_a_job_in_the_queue_is_told_as_such(runs, monkeypatch):
    (runs / "mini" / "half" / "slurm.json").write_text(json.dumps({"job": "7_1"}))
    monkeypatch.setattr("peft_cli.sweep.queue.queued", lambda: {"7_1": "PENDING"})
    assert "1 queued" in status([runs]) and "PENDING" not in status([runs])
    monkeypatch.setattr("peft_cli.sweep.queue.queued", lambda: {"7_1": "PENDING (JobHeldUser)"})
    assert "queued, 1: Slurm says PENDING (JobHeldUser)" in status([runs])


def test_stale_lists_what_no_experiment_asks_for_and_deletes_nothing(runs, checkout):
    named, *others = [str(folder_of(run.config, run.choices).path.relative_to("runs")) for run in experiment_runs()]
    assert len(others) == 3
    RunFolder(runs / named).open({}, goes_on=False)
    told = stale([runs])
    assert named not in told and "mini/broken2" in told
    assert "6 of 7 runs are in no experiment" in told and "nothing was deleted" in told
    assert (runs / "mini" / "broken2" / "error.json").exists()


def test_the_report_has_both(runs, checkout, capsys):
    assert report.main(["--status", "--stale", str(runs)]) == 0
    assert "6 runs: 1 finished" in (told := capsys.readouterr().out) and "in no experiment" in told


def test_an_absent_folder_is_one_sentence(tmp_path, capsys):
    assert report.main(["--status", str(tmp_path / "absent")]) == 2
    assert "there is no folder" in capsys.readouterr().err
