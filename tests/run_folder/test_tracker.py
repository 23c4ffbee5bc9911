import sys
from types import SimpleNamespace

from peft_cli.run_folder.tracker import Tracker


def test_disabled_does_not_import_wandb(tmp_path):
    sys.modules.pop("wandb", None)
    tracker = Tracker(tmp_path, {}, mode="disabled", project="p", entity=None)
    tracker.log({"step": 1, "loss": 2.0})
    assert "wandb" not in sys.modules and not list(tmp_path.iterdir())


def test_a_tracker_that_fails_is_one_line_and_ends_nothing(tmp_path, capsys):
    tracker = Tracker(tmp_path, {}, mode="disabled", project="p", entity=None)
    tracker.run = SimpleNamespace(log=lambda *args, **kwargs: 1 / 0)
    tracker.log({"step": 1, "loss": 2.0})
    tracker.log({"step": 2, "loss": 1.0})
    tracker.finish({"scores": {}, "cost": {}})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "wandb stopped mirroring this run (division by zero)" in lines[0]


def test_offline_mirrors_into_the_runs_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = Tracker(tmp_path, {"shots": 50}, mode="offline", project="p", entity=None)
    tracker.log({"step": 1, "loss": 2.0})
    tracker.finish({"scores": {"bleu": 3.0}, "cost": {"params_trained": 5}})
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_nothing_is_mirrored_through_a_link(tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "wandb").symlink_to(tmp_path / "elsewhere")
    tracker = Tracker(tmp_path, {}, mode="offline", project="p", entity=None)
    assert tracker.run is None and not list((tmp_path / "elsewhere").iterdir())
    assert "wandb is a link, and a run writes into its own folder alone" in capsys.readouterr().err
