import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from peft_cli.run_folder.signals import Signals, Stopped

TWICE = """
import signal
from peft_cli.run_folder.signals import Signals
with Signals().listening():
    signal.raise_signal(signal.SIGTERM)
    print("once", flush=True)
    signal.raise_signal(signal.SIGINT)
    print("never")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_where_it_checks(monkeypatch, capsys, number):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    signals, before = Signals(), signal.getsignal(number)
    with signals.listening():
        signals.check()
        signal.raise_signal(number)
        assert not signals.wants_checkpoint
    assert signal.getsignal(number) is before
    with pytest.raises(Stopped, match=f"stopped by {number.name}; the same command goes on from there") as stopped:
        signals.check()
    assert stopped.value.number == number
    assert f"peft-run: {number.name}: stops after this step; once more ends it at once" in capsys.readouterr().err


def test_the_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), Signals().listening():
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process():
    process = subprocess.run(
        [sys.executable, "-c", TWICE], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.returncode == 130 and process.stdout == "once\n"


def test_in_a_slurm_job_sigterm_asks_for_a_checkpoint_alone(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    signals = Signals()
    with signals.listening():
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        signals.check()
        assert signals.wants_checkpoint
        signal.raise_signal(signal.SIGUSR2)
    with pytest.raises(Stopped):
        signals.check()


def test_a_thread_leaves_the_handlers_as_they_are():
    before, found = signal.getsignal(signal.SIGTERM), []

    def run():
        with Signals().listening():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [before]
