"""A model so small that a run takes a second, in a folder as a user would have one; and what runs have to share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import make_backbone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> list[str]:
    """The overrides of a quick run."""
    folder = tmp_path_factory.mktemp("tiny")
    backbone = make_backbone("gpt2")
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return [
        *("backbone=hub", f"backbone.name={folder}", "backbone.separator='</s>'", "backbone.device=cpu"),
        *("backbone.max_source_tokens=24", "backbone.max_target_tokens=12", "method=pt", "method.length=4", "shots=8"),
        *("test_limit=12", "decode.batch_size=3", "decode.max_new_tokens=8", "train.validate_every=10"),
        *("train.patience=null", "train.checkpoint_seconds=0"),
    ]


@pytest.fixture
def environment() -> dict[str, str]:
    """What a process of peft-run from this checkout needs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def peft_run(environment, tmp_path):
    """Start the command in a process of its own."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "peft_cli.cli.run", *arguments]
        errors = (tmp_path / "err.txt").open("a")
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def outcome(folder: Path) -> dict:
    """All of a run that has to be the same, bit for bit, whatever happened to it on the way."""
    result = json.loads((folder / "result.json").read_text())
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {
        "tensors": (folder / "method.safetensors").read_bytes(),
        "predictions": (folder / "predictions.jsonl").read_bytes(),
        "log": [{name: value for name, value in row.items() if name != "step_seconds"} for row in rows],
        "scores": result["scores"],
        "best": result["training"]["best_step"],
        "files": sorted(path.name for path in folder.iterdir() if not path.name.startswith(("output.log", ".claim"))),
    }


def outcomes(runs: Path) -> dict[str, dict]:
    """The outcome of each finished run below `runs`."""
    return {str(path.parent.relative_to(runs)): outcome(path.parent) for path in runs.rglob("result.json")}


def differences(found: dict[str, dict], expected: dict[str, dict]) -> dict[str, list]:
    """What is not the same in two sets of outcomes, by run."""
    alike = {name: [key for key in expected[name] if found[name][key] != expected[name][key]] for name in found}
    return {name: [*keys, found[name]["files"]] for name, keys in alike.items() if keys}
