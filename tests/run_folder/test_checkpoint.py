import json
import random
import signal
from dataclasses import replace

import numpy
import pytest
import torch

from peft_cli.method.ft import FT
from peft_cli.method.pt import PT
from peft_cli.run_folder.checkpoint import Checkpoint, random_states, set_random_states
from peft_cli.run_folder.signals import Signals, Stopped
from peft_cli.train import train
from tests.conftest import EXAMPLES, make_backbone
from tests.test_train import RECIPE

MADE_OF = {"backbone": "a"}


class Killed(Exception):
    pass


def writer(log, checkpoint, kill_at):
    """What writes rows to a log that goes on with its checkpoint, and is gone right after the row of a step."""
    if checkpoint.step == 0:
        log.write_text("")

    def write(row):
        with log.open("a") as file:
            file.write(json.dumps({name: value for name, value in row.items() if name != "step_seconds"}) + "\n")
        if row["step"] == kill_at and "loss" in row:
            raise Killed

    return write


def start(folder, kill_at=None, kind="pt", recipe=RECIPE, every_seconds=0.0):
    """Trains in `folder`, from its checkpoint if it has one; is gone right after a step was logged."""
    backbone = make_backbone("gpt2")
    torch.manual_seed(0)
    if kind == "pt":
        method = PT(backbone, length=4, init="vocabulary", text=None, lr=0.05)
    else:
        method = FT(backbone, top_blocks=1, output_embedding=False, lr=0.01)
        for module in backbone.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
    checkpoint = Checkpoint(folder, every_seconds, Signals(), MADE_OF)
    log = folder / "log.jsonl"
    write = writer(log, checkpoint, kill_at)
    found = train(backbone, method, EXAMPLES[:2], EXAMPLES[2:], recipe, None, write, checkpoint)
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}, found, log.read_text()


@pytest.mark.parametrize("kind", ["pt", "ft"])
@pytest.mark.parametrize("kill_at", [1, 4, 5, 12])
def test_a_killed_run_ends_with_the_bits_of_an_undisturbed_one(tmp_path, kind, kill_at):
    recipe = replace(RECIPE, dropout=kind == "ft")
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = start(tmp_path / "whole", None, kind, recipe)
    with pytest.raises(Killed):
        start(tmp_path / "killed", kill_at, kind, recipe)
    again = start(tmp_path / "killed", None, kind, recipe)
    assert all(torch.equal(tensor, again[0][name]) for name, tensor in whole[0].items())
    assert again[2] == whole[2] and again[1]["best_step"] == whole[1]["best_step"]
    assert again[1]["steps"] == whole[1]["steps"]


def test_a_run_that_had_given_up_does_not_train_on(tmp_path):
    recipe = replace(RECIPE, steps=400, patience=1, validate_every=1)
    whole = start(tmp_path, recipe=recipe)
    again = start(tmp_path, recipe=recipe)
    assert whole[1]["steps"] == again[1]["steps"] < 400 and again[2] == whole[2]


def test_the_checkpoint_is_written_when_it_is_time(tmp_path):
    start(tmp_path, every_seconds=3600)
    assert not (tmp_path / "checkpoint.pt").exists()
    start(tmp_path, every_seconds=0)
    assert [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name] == ["checkpoint.pt"]


def test_a_signal_writes_a_checkpoint_and_stops(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    signals = Signals()
    checkpoint = Checkpoint(tmp_path, 3600, signals, MADE_OF)
    with signals.listening():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            checkpoint.keep(3)
    assert Checkpoint(tmp_path, 3600, Signals(), MADE_OF).step == 3
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_in_a_slurm_job_sigterm_writes_a_checkpoint_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    (tmp_path / "log.jsonl").write_text("")
    signals = Signals()
    checkpoint = Checkpoint(tmp_path, 3600, signals, MADE_OF)
    with signals.listening():
        signal.raise_signal(signal.SIGTERM)
        checkpoint.keep(3)
        assert Checkpoint(tmp_path, 3600, Signals(), MADE_OF).step == 3
        signal.raise_signal(signal.SIGUSR2)
        with pytest.raises(Stopped):
            checkpoint.keep(4)


def test_a_checkpoint_of_other_weights_is_refused(tmp_path):
    start(tmp_path)
    with pytest.raises(ValueError, match="was made with another backbone; delete it"):
        Checkpoint(tmp_path, 0, Signals(), {"backbone": "b"})


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK half")
    with pytest.raises(ValueError, match=r"checkpoint.pt cannot be read; delete it to start the run again"):
        Checkpoint(tmp_path, 0, Signals(), MADE_OF)


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(tmp_path, monkeypatch):
    start(tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(content, file):
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        Checkpoint(tmp_path, 0, Signals(), MADE_OF).write()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_all_generators_go_on_where_they_were():
    kept = random_states()
    drawn = [torch.rand(3).tolist(), numpy.random.rand(3).tolist(), random.random()]
    set_random_states(kept)
    assert [torch.rand(3).tolist(), numpy.random.rand(3).tolist(), random.random()] == drawn
