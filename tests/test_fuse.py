"""Runs side by side on one backbone end as they would have ended alone."""

import json
from functools import partial
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

from peft_cli.compose import Composer, compose, hydra_loader
from peft_cli.fuse import Company
from peft_cli.results import folder_of
from peft_cli.run import experiment
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
            "train.validate_every=4", "train.checkpoint_seconds=0", f"runs={tmp_path / runs}",
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


def together(runs) -> list[BaseException | None]:
    return Company([(partial(do, run), lambda: None) for run in runs]).work()


def folder(run) -> Path:
    return folder_of(run.config, run.choices).path


def compare(alone: Path, fused: Path) -> None:
    """Fails unless tensors, losses, predictions, scores and files are the same."""
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
    assert {path.name for path in alone.iterdir()} == {path.name for path in fused.iterdir()}


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
