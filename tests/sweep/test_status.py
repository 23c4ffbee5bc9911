import json
import os
import shutil
import time
from pathlib import Path

import pytest

from peft_cli.cli import report
from peft_cli.config import options
from peft_cli.config.compose import experiment_runs
from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.identity import complete
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
        RunFolder(folder / name).write_error(Failure("OutOfMemoryError: too much", False), "", "peft-run")
    (folder / "torn" / "error.json").write_text("{")
    return tmp_path


def test_status_counts_all_states_and_lists_reasons(runs):
    hour_ago = time.time() - 3600
    os.utime(runs / "mini" / "live" / "config.yaml", (hour_ago, hour_ago))
    with locked(runs / "mini" / "live"):
        text = status([runs])
    assert text.startswith("6 runs: 1 finished, 1 running, 3 failed, 1 unfinished\n")
    assert f"oldest running: {runs}/mini/live, for 60 min, by process {os.getpid()}" in text
    assert f"failed, 2: OutOfMemoryError: too much, such as {runs}/mini/broken\n" in text
    assert "failed, 1: error.json cannot be read" in text and "retry=true" in text


def test_a_job_in_the_queue_is_queued(runs, monkeypatch):
    (runs / "mini" / "half" / "slurm.json").write_text(json.dumps({"job": "7_1"}))
    monkeypatch.setattr("peft_cli.sweep.queue.queued", lambda: {"7_1": "PENDING"})
    assert "1 queued" in status([runs]) and "PENDING" not in status([runs])
    monkeypatch.setattr("peft_cli.sweep.queue.queued", lambda: {"7_1": "PENDING (JobHeldUser)"})
    assert "queued, 1: Slurm has it as PENDING (JobHeldUser)" in status([runs])


def test_stale_lists_what_no_experiment_asks_for_and_deletes_nothing(runs, checkout):
    runs_of_it = [folder_of(complete(run.config), run.choices) for run in experiment_runs()]
    named, *others = [str(run.path.relative_to("runs")) for run in runs_of_it]
    assert len(others) == 3
    RunFolder(runs / named).open({}, goes_on=False)
    text = stale([runs])
    assert named not in text and "mini/broken2" in text
    assert "6 of 7 runs are in no experiment" in text and "nothing was deleted" in text
    assert (runs / "mini" / "broken2" / "error.json").exists()


def test_the_report_has_both(runs, checkout, capsys):
    assert report.main(["--status", "--stale", str(runs)]) == 0
    assert "6 runs: 1 finished" in (text := capsys.readouterr().out) and "in no experiment" in text


def test_an_absent_folder_is_one_sentence(tmp_path, capsys):
    assert report.main(["--status", str(tmp_path / "absent")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_method_folder_behind_a_link_is_followed_once_and_a_loop_is_not(runs, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk")
    RunFolder(elsewhere / "pt" / "far").open({}, goes_on=False)
    RunFolder(elsewhere / "pt" / "far").finish({"scores": {}})
    for link, target in (("pt", elsewhere / "pt"), ("again", elsewhere / "pt"), ("loop", runs), ("dead", runs / "no")):
        (runs / "mini" / link).symlink_to(target)
    assert status([runs]).startswith("7 runs: 2 finished")


def test_broken_files_and_texts_from_elsewhere_cost_nothing_else(runs):
    (runs / "mini" / "done" / "result.json").write_text("")
    (runs / "mini" / "broken" / "error.json").write_text(json.dumps({"error": "\x1b[2Jgone\nfinished"}))
    (runs / "mini" / "half" / "slurm.json").write_text('{"job": [1]}')
    text = status([runs])
    assert text.startswith("6 runs: 3 failed, 3 unfinished\n")
    assert "\x1b" not in text and "\N{REPLACEMENT CHARACTER}[2Jgone finished" in text


def test_runs_of_experiments_without_data_are_counted(runs, checkout, monkeypatch):
    def absent(config):
        raise ValueError("data=e2e needs data.root")

    monkeypatch.setattr("peft_cli.run_folder.identity.complete", absent)
    assert stale([runs]).endswith("nothing was deleted; 4 runs of experiments have no data here and are not known")
