"""The sweeps of experiments/ that start from one another, and the composition of all."""

import json
import sys
from pathlib import Path

import pytest

from peft_cli.cli.run import main
from peft_cli.report.runs import parse_run
from peft_cli.report.tables import labels, rows

ROOT = Path(__file__).parents[1]
QUICK = [
    *("train.steps=1", "train.validate_every=null", "train.batch_size=2", "test_limit=1", "decode.max_new_tokens=2"),
    "launcher=basic",  # in this process, which has loaded torch
]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


def peft_run(*arguments: str) -> int:
    """The exit code of peft-run with `arguments`, in this process."""
    before, sys.argv = sys.argv, ["peft-run", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The folder of the runs that others start from, and of those."""
    folder = tmp_path_factory.mktemp("runs")
    assert peft_run("-m", "+experiment=transfer_source", "seed=0,1", f"runs={folder}", *QUICK) == 0
    return folder


def run_experiment(runs: Path, experiment: str, *arguments: str) -> list[dict]:
    """The results of an experiment, with mini in place of a data set that has to be fetched."""
    before = set(runs.glob("**/result.json"))
    command = ["-m", f"+experiment={experiment}", "data=mini", f"runs={runs}", *QUICK, *arguments]
    assert peft_run(*command) == 0
    return [json.loads(path.read_text()) for path in sorted(set(runs.glob("**/result.json")) - before)]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(experiment, capsys):
    assert peft_run(f"+experiment={experiment}", "--cfg", "job") == 0
    assert "_target_: peft_cli.method." in capsys.readouterr().out


@pytest.fixture(scope="module")
def intermediate(runs) -> list[dict]:
    """Two runs of SPT that start from two others."""
    return run_experiment(runs, "intermediate_spt", "seed=0,1")


@pytest.mark.parametrize("method", ["spt", "dept"])
def test_a_transfer_starts_from_the_source_of_its_seed(runs, intermediate, method):
    made = intermediate if method == "spt" else run_experiment(runs, "dept_transfer", "seed=0,1")
    assert sorted(result["run"]["seed"] for result in made) == [0, 1]
    for result in made:
        (source,) = result["sources"]
        assert source["run"]["seed"] == result["run"]["seed"] and source["run"]["method"] == method
        assert source["run"]["shots"] is None and len(source["sha256"]) == 64 and result["run"]["shots"] == 50


def test_a_prompt_alone_is_taken_without_a_and_b(runs):
    (result,) = run_experiment(runs, "dept_transfer_prompt", "seed=1")
    assert result["config"]["init_tensors"] == ["prompt"] and result["sources"][0]["run"]["method"] == "dept"


def test_prompts_are_averaged_over_all_seeds_of_the_source(runs):
    (result,) = run_experiment(runs, "prompt_average", "seed=0")
    assert [source["run"]["seed"] for source in result["sources"]] == [0, 1]


def test_the_report_shows_intermediate_as_its_own_row(runs, intermediate):
    direct = run_experiment(runs, "intermediate_spt", "seed=0", "init_from=null")
    table = rows([parse_run(Path(), result) for result in [*intermediate, *direct]])
    counts = dict(zip(labels(table), (len(row.runs) for row in table), strict=True))
    assert counts == {"spt (init_from=mini with all shots)": 2, "spt (init_from=null)": 1}


def test_a_transfer_without_its_source_is_refused(tmp_path, capsys):
    assert peft_run("+experiment=intermediate_spt", "data=mini", "seed=5", f"runs={tmp_path}", *QUICK) == 2
    assert "seed=5-* matches no folder of a finished run; run its source first" in capsys.readouterr().err


def test_the_ablation_of_spts_scale_runs(tmp_path):
    command = ["-m", "+experiment=spt_ablation", "seed=0", "method.scale_shape=scalar", f"runs={tmp_path}", *QUICK]
    assert peft_run(*command) == 0
    results = [json.loads(path.read_text()) for path in tmp_path.glob("mini/*/spt/*/result.json")]
    targets = {result["config"]["method"]["scale_target"] for result in results}
    assert targets == {"prompt", "input", "both"}
