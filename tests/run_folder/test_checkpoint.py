import json
import os
import pickle
import random
import signal
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peft_cli.method.ft import FT
from peft_cli.method.pt import PT
from peft_cli.run_folder.checkpoint import Checkpoint, random_states, read_checkpoint, set_random_states
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


@pytest.mark.parametrize("content", [b"", b"PK half", pickle.dumps({"step": 3})])
def test_a_checkpoint_that_cannot_be_read_costs_a_warning(tmp_path, capsys, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert Checkpoint(tmp_path, 0, Signals(), MADE_OF).step == 0
    assert f"{tmp_path}/checkpoint.pt cannot be read" in (err := capsys.readouterr().err)
    assert "the run starts again" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "change", [{"step": "3"}, {"seconds": None}, {"made_of": []}, {"log": 1}, {"states": "x"}, None], ids=str
)
def test_a_checkpoint_of_another_form_costs_a_warning(tmp_path, change):
    whole = {"made_of": MADE_OF, "step": 3, "seconds": 1.0, "log": "", "states": {}, "random": random_states()}
    torch.save(whole, tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path, 0, Signals(), MADE_OF).step == 3
    torch.save(whole | change if change else [whole], tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path, 0, Signals(), MADE_OF).step == 0


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of a checkpoint, and its content."""
    folder = tmp_path_factory.mktemp("written")
    start(folder)
    path = folder / "checkpoint.pt"
    return path.read_bytes(), torch.load(path, weights_only=True)


@given(st.data())
def test_a_bit_that_has_changed_is_seen_or_changes_nothing(written, data):
    content = bytearray(written[0])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoint.pt").write_bytes(content)
        kept = Checkpoint(Path(folder), 0, Signals(), MADE_OF).content
        assert kept is None or is_same(kept, written[1])


def is_same(one, other):
    """Whether two states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one == other


@given(st.binary(max_size=300))
def test_any_file_is_a_checkpoint_or_none(content):
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoint.pt").write_bytes(content)
        assert Checkpoint(Path(folder), 0, Signals(), MADE_OF).step == 0


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path, written):
    with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 2**20)
    with pytest.raises(ValueError, match="it is compressed"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    torch.save({"states": Harm()}, tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path, 0, Signals(), MADE_OF).step == 0 and not (tmp_path / "harm").exists()


@pytest.mark.parametrize("harm", ["shortened", "deleted", "link"])
def test_the_log_is_that_of_the_checkpoint_whatever_became_of_it(tmp_path, harm):
    (tmp_path / "whole").mkdir()
    whole = start(tmp_path / "whole")[2]
    with pytest.raises(Killed):
        start(tmp_path, 12)
    log, mine = tmp_path / "log.jsonl", tmp_path / "mine"
    mine.write_text("mine")
    if harm == "shortened":
        os.truncate(log, 7)
    else:
        log.unlink()
        if harm == "link":
            log.symlink_to(mine)
    assert start(tmp_path)[2] == whole and mine.read_text() == "mine" and not log.is_symlink()


def test_a_checkpoint_is_not_written_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in ("checkpoint.pt", ".checkpoint.pt.partial"):
        (tmp_path / name).symlink_to(mine)
    start(tmp_path)
    assert mine.read_text() == "mine" and Checkpoint(tmp_path, 0, Signals(), MADE_OF).step > 0


def test_a_checkpoint_of_other_parts_is_one_sentence(tmp_path):
    start(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint.pt does not fit the run .*; delete it to start again"):
        start(tmp_path, kind="ft")


def test_a_full_gpu_is_no_fault_of_a_checkpoint(tmp_path):
    class Full:
        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            raise torch.OutOfMemoryError("CUDA out of memory")

    (tmp_path / "log.jsonl").touch()
    Checkpoint(tmp_path, 0, Signals(), MADE_OF, part=Full()).keep(1)
    with pytest.raises(torch.OutOfMemoryError):
        Checkpoint(tmp_path, 0, Signals(), MADE_OF, part=Full()).restore()


def test_training_goes_on_with_the_seconds_it_had(tmp_path):
    (tmp_path / "log.jsonl").touch()
    checkpoint = Checkpoint(tmp_path, 0, Signals(), MADE_OF)
    checkpoint.began_at -= 100
    checkpoint.keep(3)
    again = Checkpoint(tmp_path, 0, Signals(), MADE_OF)
    assert again.restore() == 3 and 100 <= again.elapsed() < 160


@pytest.mark.parametrize(("seconds", "is_written"), [(100.0, True), (1e6, False)])
def test_a_last_checkpoint_is_written_where_more_than_a_little_would_be_lost(tmp_path, seconds, is_written):
    (tmp_path / "log.jsonl").touch()
    checkpoint = Checkpoint(tmp_path, seconds, Signals(), MADE_OF)
    checkpoint.saved_at -= 60
    checkpoint.close()
    assert (tmp_path / "checkpoint.pt").exists() is is_written


def test_a_checkpoint_is_written_once_in_its_time(tmp_path):
    (tmp_path / "log.jsonl").touch()
    checkpoint = Checkpoint(tmp_path, 3600, Signals(), MADE_OF)
    checkpoint.saved_at -= 4000
    checkpoint.keep(1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    checkpoint.keep(2)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


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
