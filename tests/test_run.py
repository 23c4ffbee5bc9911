"""`peft-run` as a user starts it: one experiment, the same again, a sweep with a failure, real data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from peft_cli.cli.run import main

ROOT = Path(__file__).parents[1]
E2E = ROOT.parent / "shared" / "data" / "e2e"
QUICK = ["train.steps=6", "train.validate_every=3", "test_limit=4", "decode=greedy", "decode.max_new_tokens=8"]


def peft_run(monkeypatch, *arguments: str) -> int:
    """The exit code of peft-run with `arguments`, in this process."""
    monkeypatch.setattr(sys, "argv", ["peft-run", *arguments])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


def results(runs: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(runs.glob("**/result.json"))]


def test_a_run_leaves_a_complete_folder(monkeypatch, tmp_path):
    assert peft_run(monkeypatch, "method=spt", f"runs={tmp_path}", *QUICK) == 0
    (path,) = tmp_path.glob("**/result.json")
    result = json.loads(path.read_text())
    names = {"config.yaml", "log.jsonl", "predictions.jsonl", "method.safetensors", "result.json"}
    assert {file.name for file in path.parent.iterdir()} == names
    assert result["run"] == {
        "method": "spt", "backbone": "tiny-gpt2", "data": "mini", "train": "few_shot", "decode": "greedy",
        "wandb": "disabled", "shots": 50, "seed": 0, "data_seed": 0, "test_limit": 4,
    }  # fmt: skip
    assert (
        set(result["scores"]) == {"bleu", "rouge1", "rouge2", "rougeL"} and "version:" in result["signatures"]["bleu"]
    )
    d_model, length = 192, result["config"]["method"]["length"]
    assert result["cost"]["params_trained"] == (length + 1) * d_model
    assert result["cost"]["params_stored"] == length * d_model and result["cost"]["positions_added"] == length
    assert load_file(path.parent / "method.safetensors")["prompt"].shape == (length, d_model)
    assert len(result["data"]["train_ids"]) == 50 and len(result["data"]["validation_ids"]) == 16
    missing = [key for key, value in result["cost"].items() if value is None]
    assert missing == ["energy_joules"]
    rows = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "validation_loss" in row] == [0, 3, 6]


def test_the_same_run_gives_the_same_scores_and_is_not_done_twice(monkeypatch, tmp_path, capsys):
    for runs in ("a", "b"):
        assert peft_run(monkeypatch, "method=pt", f"runs={tmp_path / runs}", *QUICK) == 0
    first, second = results(tmp_path)
    assert first["scores"] == second["scores"]
    logs = [path.read_text() for path in sorted(tmp_path.glob("**/predictions.jsonl"))]
    assert logs[0] == logs[1]
    capsys.readouterr()
    assert peft_run(monkeypatch, "method=pt", f"runs={tmp_path / 'a'}", *reversed(QUICK)) == 0
    assert "finished already: " in capsys.readouterr().out and len(results(tmp_path)) == 2


def test_that_a_run_is_finished_is_shown_without_loading_torch(monkeypatch, tmp_path):
    assert peft_run(monkeypatch, "shots=0", f"runs={tmp_path}", *QUICK) == 0
    script = "import sys, peft_cli.cli.run as run; run.main(); print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, "shots=0", f"runs={tmp_path}", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "finished already" in done.stdout and done.stdout.endswith("False\n")


def test_without_shots_the_untouched_backbone_is_scored_once(monkeypatch, tmp_path):
    for method in ("pt", "ft"):
        assert peft_run(monkeypatch, f"method={method}", "shots=0", f"runs={tmp_path}", *QUICK) == 0
    (result,) = results(tmp_path)
    assert result["run"]["method"] == "untouched" and result["cost"]["params_trained"] == 0
    assert result["training"] is None


def test_one_failure_of_a_sweep_is_told_and_the_others_finish(monkeypatch, tmp_path, capsys):
    arguments = ["-m", "method=ft_top2", "method.top_blocks=2,99", f"runs={tmp_path}", *QUICK]
    assert peft_run(monkeypatch, *arguments) == 1
    shown = capsys.readouterr().err
    assert "1 of 2 runs failed" in shown and "method.top_blocks=99 asks for more than the 6 blocks" in shown
    (error,) = tmp_path.glob("**/error.json")
    kept = json.loads(error.read_text())
    assert "method.top_blocks=99" in kept["command"] and kept["command"].startswith("peft-run ")
    assert len(results(tmp_path)) == 1


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("method.lr=-1", "method.lr=-1.0 is not possible: it has to be greater than 0"),
        ("shots=-1", "shots=-1 is not possible"),
        ("seed=-1", "seed=-1 is not possible"),
        ("train.schedule=cosine", "train.schedule=cosine is not possible: it has to be linear or constant"),
        ("decode.beams=0", "decode.beams=0 is not possible"),
        ("protocol=e3e", "protocol=e3e is not possible; there are dart, e2e"),
        ("more_metrics=[blue]", "there is no metric blue; there are accuracy"),
        ("more_metrics=3", "more_metrics=3 is not possible: it has to be a list"),
        ("shots=801", "shots=801 asks for more than the 800 training examples there are"),
        ("draw=per_class", "draw from each class, and the data set has none; take any"),
        ("backbone.device=cuda:7", "asks for a GPU and torch finds none here"),
        ("method.length=500", "500 positions in front leave"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(monkeypatch, tmp_path, capsys, argument, sentence):
    monkeypatch.chdir(tmp_path)
    assert peft_run(monkeypatch, argument, "runs=runs") == 2
    shown = capsys.readouterr().err
    assert sentence in shown and shown.startswith("peft-run: ") and len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train.steps=4"], "the loss of step 2 is nan, so training cannot go on; lower method.lr"),
        (["train.steps=1"], "the validation loss after step 1 is nan, so training cannot go on; lower method.lr"),
    ],
)
def test_a_loss_that_is_not_finite_fails_the_run_and_names_the_step(monkeypatch, tmp_path, capsys, arguments, sentence):
    command = ["method=pt", "method.lr=1e30", "train.warmup_steps=0", f"runs={tmp_path}", "test_limit=4", *arguments]
    assert peft_run(monkeypatch, *command) == 2
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("peft-run: ")]
    assert len(shown) == 1 and sentence in shown[0]
    (error,) = tmp_path.glob("**/error.json")
    kept = json.loads(error.read_text())
    assert kept["error"].startswith(sentence) and "method.lr=1e30" in kept["command"] and not results(tmp_path)


def test_a_wrong_value_leaves_no_folder(monkeypatch, tmp_path):
    assert peft_run(monkeypatch, "method.lr=-1", f"runs={tmp_path}") == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not E2E.exists(), reason="needs the official E2E files")
def test_e2e_is_scored_on_its_real_references(monkeypatch, tmp_path):
    arguments = [
        "method=pt",
        "data=e2e",
        "shots=10",
        f"data.root={E2E}",
        f"runs={tmp_path}",
        *QUICK,
    ]
    assert peft_run(monkeypatch, *arguments) == 0
    (result,) = results(tmp_path)
    (path,) = tmp_path.glob("**/predictions.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 4 and min(len(row["references"]) for row in rows) >= 1
    assert result["scored"]["protocol"] == "e2e" and "protocol:e2e|items:4" in result["signatures"]["bleu"]
    assert list(result["scores"]) == ["bleu", "nist", "meteor", "rouge_l", "cider"]
    assert set(rows[0]["scores"]) >= {"rouge_l", "cider"}


def test_another_protocol_and_more_metrics_can_be_asked_for(monkeypatch, tmp_path, capsys):
    arguments = ["shots=0", "protocol=dart", "more_metrics=[chrf,pearson]", f"runs={tmp_path}", *QUICK]
    assert peft_run(monkeypatch, *arguments) == 0
    (result,) = results(tmp_path)
    assert list(result["scores"]) == ["bleu", "rouge1", "rouge2", "rougeL", "chrf", "pearson"]
    assert "protocol:dart" in result["signatures"]["chrf"]
    assert result["scores"]["pearson"] is None and "no numbers" in result["undefined"]["pearson"]
    assert "pearson has no value: 4 of the predictions are no numbers" in capsys.readouterr().out


def test_selecting_by_the_metric_generates_for_validation(monkeypatch, tmp_path):
    arguments = ["method=pt", "train.select=metric", f"runs={tmp_path}", *QUICK]
    assert peft_run(monkeypatch, *arguments) == 0
    assert results(tmp_path)[0]["training"]["best_validation_metric"] >= 0
