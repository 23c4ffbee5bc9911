import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peft_cli.run_folder import lock
from peft_cli.run_folder.lock import AlreadyRunning, locked, machine, owner

HOLD = """
import sys, time
from pathlib import Path
from peft_cli.run_folder.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import sys, time
from pathlib import Path
from peft_cli.run_folder.lock import AlreadyRunning, locked
folder = Path(sys.argv[1])
for _ in range(12):
    try:
        with locked(folder):
            inside = folder / "inside"
            inside.touch(exist_ok=False)
            time.sleep(0.01)
            inside.unlink()
            with (folder / "count").open("a") as file:
                file.write("x")
    except AlreadyRunning:
        pass
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def claims(folder):
    return list(folder.glob(".lock-*"))


def test_a_folder_that_another_process_has_is_busy(tmp_path, holder):
    with (
        pytest.raises(AlreadyRunning, match=f"is being done by process {holder.pid} on .*; wait for it"),
        locked(tmp_path),
    ):
        pass
    assert len(claims(tmp_path)) == 1 and str(holder.pid) in owner(tmp_path)


def test_the_claim_of_a_process_that_was_killed_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert owner(tmp_path) is None
    with locked(tmp_path):
        assert str(os.getpid()) in owner(tmp_path)
    assert claims(tmp_path) == []


def test_a_process_that_was_killed_and_not_yet_waited_for_is_gone(tmp_path, holder):
    holder.kill()
    time.sleep(0.2)
    assert owner(tmp_path) is None


def test_a_number_that_was_given_to_another_process_does_not_count(tmp_path):
    with locked(tmp_path):
        (claim,) = claims(tmp_path)
        claim.write_text(json.dumps(json.loads(claim.read_text()) | {"started": "1"}))
        assert owner(tmp_path) is None


FOREIGN = {"host": "node7", "machine": "node7 x", "pid": 1, "started": "5"}


@pytest.mark.parametrize(
    ("age", "alive"),
    [
        (lock.GONE_SECONDS - 10, True),
        (lock.GONE_SECONDS + 10, False),
        (-lock.GONE_SECONDS + 10, True),
        (-lock.GONE_SECONDS - 10, False),
        (-(10**9), False),
    ],
)
def test_another_machines_process_lives_as_long_as_it_gives_signs(tmp_path, age, alive):
    claim = tmp_path / ".lock-a"
    claim.write_text(json.dumps(FOREIGN))
    os.utime(claim, (time.time() - age,) * 2)
    assert (owner(tmp_path) == "process 1 on node7") is alive
    if not alive:
        with locked(tmp_path):
            assert not claim.exists()


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with locked(tmp_path):
        (claim,) = claims(tmp_path)
        os.utime(claim, (0, 0))
        time.sleep(0.2)
        assert claim.stat().st_mtime > 0


def test_a_holder_that_was_taken_for_dead_ends(tmp_path):
    code = HOLD.replace(
        "import sys", "import peft_cli.run_folder.lock; peft_cli.run_folder.lock.BEAT_SECONDS = 0.05; import sys", 1
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    claims(tmp_path)[0].unlink()
    assert process.wait(timeout=5) == lock.LOCK_LOST


def test_an_empty_claim_of_a_full_disk_holds_nothing(tmp_path):
    (tmp_path / ".lock-a").write_text("")
    with locked(tmp_path):
        assert len(claims(tmp_path)) == 1


CLAIMS = st.fixed_dictionaries(
    {}, optional={key: st.none() | st.integers() | st.text() | st.lists(st.text()) for key in [*FOREIGN, "more"]}
)


@given(st.binary() | st.none() | CLAIMS.map(json.dumps).map(str.encode))
@example(json.dumps(FOREIGN | {"pid": -1}).encode())
@example(json.dumps(FOREIGN | {"pid": 10**30}).encode())
@example(json.dumps(FOREIGN | {"machine": machine(), "pid": "../self"}).encode())
def test_whatever_is_no_claim_holds_nothing(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / ".lock-a"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        assert owner(Path(folder)) is None
        with locked(Path(folder)):
            assert str(os.getpid()) in owner(Path(folder))


def test_a_claim_that_another_user_hides_holds_as_long_as_it_gives_signs(tmp_path, monkeypatch):
    def hidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / ".lock-a").write_text("{}")
    monkeypatch.setattr(lock, "read_json", hidden)
    assert owner(tmp_path) == "process 1 on a machine of another user"
    os.utime(tmp_path / ".lock-a", (0, 0))
    assert owner(tmp_path) is None


def test_a_claim_cannot_control_the_terminal(tmp_path):
    (tmp_path / ".lock-a").write_text(json.dumps(FOREIGN | {"host": "\x1b[2Ja\nb"}))
    assert owner(tmp_path) == "process 1 on \N{REPLACEMENT CHARACTER}[2Ja b"


def test_the_claim_is_gone_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert claims(tmp_path) == []


def test_processes_that_race_are_never_inside_together(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 4
    assert len((tmp_path / "count").read_text()) >= 6 and claims(tmp_path) == []
