"""From NLI pairs to few-shot classes on the embedded RoBERTa, by the commands of the README."""

import json
from pathlib import Path

import pytest

from tests.test_experiments import peft_run

ROBERTA = ["backbone=tiny-roberta", "backbone.max_source_tokens=96", "train.validate_every=null"]
NLI = [
    "method=ft", "method.lr=3e-4", "data=mini_nli", "data.n_train=200", "shots=null", "test_limit=4", "train.steps=20",
    "train.batch_size=8",
]  # fmt: skip
FEW = [
    "data=mini_kinds", "data.kinds=[bridge,pet]", "shots=16", "draw=per_class", "test_limit=60", "train.batch_size=8",
    "decode.batch_size=20",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The folder of the intermediate run, and of what goes on from it."""
    folder = tmp_path_factory.mktemp("runs")
    assert peft_run(*NLI, *ROBERTA, f"runs={folder}") == 0
    return folder


def few_shot(runs: Path, *arguments: str) -> dict:
    """The result of a run that starts from the intermediate one."""
    before = set(runs.glob("**/result.json"))
    where = [f"runs={runs}", f"backbone.name={runs}/mini_nli/tiny-roberta/ft/*"]
    assert peft_run(*FEW, *ROBERTA, *where, *arguments) == 0
    (path,) = set(runs.glob("**/result.json")) - before
    return json.loads(path.read_text())


def test_sixteen_shots_after_nli_end_above_the_majority_class(runs):
    on_top = ["method.head=trained", "method.on_top=ft", "method.options={lr: 3e-4}", "train.steps=60"]
    result = few_shot(runs, "method=entailment", *on_top)
    assert result["scores"]["accuracy"] > 60  # half of the texts is of each class
    assert result["config"]["backbone"]["name"].startswith(str(runs / "mini_nli"))


def test_label_tokens_alone_are_a_few_numbers(runs):
    result = few_shot(runs, "method=entailment", "method.trains=labels", "train.steps=1", "test_limit=4")
    stored = result["cost"]["params_stored"]
    assert stored % 192 == 0 and stored < 0.001 * result["cost"]["params_backbone"]


def test_without_shots_the_nli_head_answers(runs):
    result = few_shot(runs, "shots=0", "backbone.form=entailment", "test_limit=4")
    assert result["cost"]["params_stored"] == 0 and result["scores"]["accuracy"] >= 0


def test_a_pattern_of_several_backbones_is_refused(runs, capsys):
    where = [f"runs={runs}", f"backbone.name={runs}/mini_kinds/tiny-roberta/*/*"]
    assert peft_run(*FEW, *ROBERTA, *where, "method=entailment") == 2
    assert "backbone.name=" in capsys.readouterr().err
