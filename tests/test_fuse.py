"""Runs side by side on one backbone end as they would have ended alone."""

import json
import signal
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

from peft_cli.compose import Composer, compose, hydra_loader
from peft_cli.fuse import Apart, Company
from peft_cli.results import folder_of
from peft_cli.run import experiment
from peft_cli.stop import Stopped
from tests.conftest import make_backbone

SETTINGS = {
    "pt": ["method.length=4"],
    "spt": ["method.length=4"],
    "dept": ["method.budget=null", "method.length=3", "method.rank=2", "method.positions=24"],
    "prefix": ["method.length=3"],
    "lora": ["method.dropout=0"],
    "adapter": ["method.size=4", "method.reduction=null"],
    "ia3": [],
    "unipelt": ["method.length=3", "method.reduction=4"],
    "compacter": ["method.n=4", "method.size=8"],
}
ROOT = Path(__file__).parents[1]
MEMBERS = [("seed=0",), ("seed=1", "data_seed=1", "shots=6"), ("seed=0", "method.lr=0.02")]


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """A folder with a tiny model for each family."""
    folders = {}
    for family in ("gpt2", "t5"):
        folders[family] = tmp_path_factory.mktemp(family)
        backbone = make_backbone(family)
        backbone.model.save_pretrained(folders[family])
        backbone.tokenizer.save_pretrained(folders[family])
    return folders


@pytest.fixture
def composed(models, tmp_path):
    """Configurations, choices and overrides of runs."""

    def compose_all(family, method, runs, members=MEMBERS, *more):
        from hydra.types import RunMode

        common = [
            f"method={method}", "backbone=hub", f"backbone.name={models[family]}", "backbone.device=cpu",
            "backbone.max_source_tokens=24", "backbone.max_target_tokens=12", "shots=8", "test_limit=6",
            "decode.batch_size=4", "decode.max_new_tokens=5", "train.steps=12", "train.warmup_steps=2",
            "train.validate_every=4", "train.checkpoint_seconds=300", f"runs={tmp_path / runs}",
            *SETTINGS.get(method, []), *(["backbone.separator='</s>'"] if family == "gpt2" else []), *more,
        ]  # fmt: skip
        with hydra_loader() as loader:
            plain = type(loader).load_configuration.__get__(loader)
            master = compose(plain, False, config_name="config", overrides=[], run_mode=RunMode.MULTIRUN)
            composer = Composer(loader, master)
            return [composer([*common, *own]) for own in members]

    return compose_all


def do(run, place=None):
    experiment(OmegaConf.create(run.config), run.choices, run.overrides, place)


def together(runs, stop_after: int | None = None) -> list[BaseException | None]:
    """The exceptions that ended runs side by side; a signal comes after so many turns."""
    turns = count(1)

    def turn():
        if next(turns) == stop_after:
            company.signals.stop = signal.SIGINT

    company = Company([(partial(do, run), turn) for run in runs])
    return company.work()


def folder(run) -> Path:
    return folder_of(run.config, run.choices).path


def compare(alone: Path, fused: Path, more: set[str] = frozenset()) -> None:
    """Fails unless tensors, losses, predictions, scores and files are the same; `more` are files of the second."""
    tensors, others = (load_file(path / "method.safetensors") for path in (alone, fused))
    assert tensors.keys() == others.keys()
    for name in tensors:
        assert (tensors[name] - others[name]).norm() <= 1e-5 * tensors[name].norm(), name
    logs = [[json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in (alone, fused)]
    for row, other in zip(*logs, strict=True):
        assert row.keys() == other.keys() and row["step"] == other["step"] and row.get("lr") == other.get("lr")
        losses = [name for name in row if "loss" in name]
        assert losses and [row[name] for name in losses] == pytest.approx([other[name] for name in losses], rel=1e-5)
    results = [json.loads((path / "result.json").read_text()) for path in (alone, fused)]
    for part in ("scores", "data", "sources", "run"):
        assert results[0][part] == results[1][part]
    exact = ("params_trained", "params_stored", "positions_added", "flops_per_step", "tokens_per_step", "bytes_stored")
    assert all(results[0]["cost"][name] == results[1]["cost"][name] for name in exact)
    assert (alone / "predictions.jsonl").read_text() == (fused / "predictions.jsonl").read_text()
    assert {path.name for path in alone.iterdir()} | more == {path.name for path in fused.iterdir()}


@pytest.mark.parametrize(
    ("family", "method"), [*(("gpt2", method) for method in SETTINGS), ("t5", "pt"), ("t5", "prefix")]
)
def test_runs_side_by_side_end_as_they_do_alone(composed, family, method):
    alone, fused = composed(family, method, "alone"), composed(family, method, "fused")
    for run in alone:
        do(run)
    assert together(fused) == [None] * 3
    for one, other in zip(alone, fused, strict=True):
        compare(folder(one), folder(other))
        assert json.loads((folder(other) / "result.json").read_text())["cost"]["fused_with"] == 2


def test_a_run_that_fails_costs_itself_alone(composed):
    members = [("seed=0",), ("seed=1", "shots=5000"), ("seed=2",)]
    alone, fused = composed("gpt2", "pt", "alone", members), composed("gpt2", "pt", "fused", members)
    first, failed, last = together(fused)
    assert first is None and last is None and "shots=5000 asks for more" in str(failed)
    assert "shots=5000" in json.loads((folder(fused[1]) / "error.json").read_text())["error"]
    for i in (0, 2):
        do(alone[i])
        compare(folder(alone[i]), folder(fused[i]))


def test_runs_that_were_stopped_go_on_alone_or_side_by_side(composed):
    alone, fused = composed("gpt2", "lora", "alone"), composed("gpt2", "lora", "fused")
    assert all(isinstance(error, Stopped) for error in together(fused, stop_after=20))
    assert all((folder(run) / "checkpoint.pt").exists() for run in fused)
    do(fused[0])
    assert together(fused[1:]) == [None] * 2
    for one, other in zip(alone, fused, strict=True):
        do(one)
        compare(folder(one), folder(other))
        assert json.loads((folder(other) / "result.json").read_text())["cost"]["fused_with"] == 2


@pytest.mark.parametrize(
    ("method", "more", "reason"),
    [("ft", [], "FT trains weights"), ("lora", ["method.dropout=0.1"], "draw random numbers")],
)
def test_what_cannot_stand_side_by_side_parts_and_fails_nothing(composed, method, more, reason):
    runs = composed("gpt2", method, "fused", MEMBERS, *more)
    errors = together(runs)
    assert all(isinstance(error, Apart) and reason in str(error) for error in errors)
    assert not any((folder(run) / "error.json").exists() or list(folder(run).glob(".lock-*")) for run in runs)


def test_a_sweep_by_command_line_ends_as_one_run_after_the_other(composed):
    members = [(f"seed={seed}", f"shots={shots}") for seed in (0, 1) for shots in (6, 8)]
    alone, fused = composed("gpt2", "spt", "alone", members), composed("gpt2", "spt", "fused", members)
    arguments = ["-m", *fused[0].overrides[:-2], "fuse=2", "seed=0,1", "shots=6,8"]
    told = subprocess.run([sys.executable, "-m", "peft_cli.run", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0 and "fuse=2: 4 runs in 2 processes" in told.stderr
    for one, other in zip(alone, fused, strict=True):
        do(one)
        compare(folder(one), folder(other), {"output.log"})
        assert json.loads((folder(other) / "result.json").read_text())["cost"]["fused_with"] == 1
