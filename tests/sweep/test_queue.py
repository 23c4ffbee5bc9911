import pytest

from peft_cli.sweep import queue
from peft_cli.sweep.queue import ended, largest_array, queued, requeue


@pytest.fixture
def answers(monkeypatch):
    """What commands print, by their first words; None for all others."""
    texts = {}
    monkeypatch.setattr(
        queue, "output_of", lambda *words: next((texts[w] for w in texts if w in " ".join(words)), None)
    )
    return texts


def test_a_job_has_its_state_and_why_it_waits_for_more_than_its_turn(answers):
    answers["squeue"] = "12 10_1 RUNNING None\n13 10_2 PENDING Priority\n14 14_N/A PENDING PartitionTimeLimit\n"
    states = {"12": "RUNNING", "13": "PENDING", "14": "PENDING (PartitionTimeLimit)"}
    assert queued() == states | {"10_1": "RUNNING", "10_2": "PENDING", "14_N/A": "PENDING (PartitionTimeLimit)"}


def test_without_slurm_there_is_no_queue(answers):
    assert queued() is None and ended("7") == "unknown to Slurm" and largest_array() == 1000 and not requeue("7")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("JobId=7 JobState=NODE_FAIL Reason=None ExitCode=0:0", "NODE_FAIL"),
        ("JobId=7 JobState=FAILED ExitCode=3:0", "FAILED with exit code 3"),
        ("JobId=7 JobState=FAILED ExitCode=0:9", "FAILED by SIGKILL"),
        ("JobId=7 JobState=FAILED ExitCode=137:0", "FAILED by SIGKILL"),
    ],
)
def test_how_a_job_ended_is_its_state_and_its_signal_or_exit_code(answers, record, expected):
    answers["scontrol show job 7"] = record
    assert ended("7") == expected


def test_accounting_knows_a_job_that_the_controller_has_forgotten(answers):
    answers["--jobs 7"] = "CANCELLED by 0|0:15\n"
    assert ended("7") == "CANCELLED by SIGTERM"


def test_an_array_has_one_task_less_than_slurms_limit(answers):
    answers["show config"] = "MaxArraySize            = 1001\n"
    assert largest_array() == 1000
    answers["show config"] = "MaxArraySize = 51\n"
    assert largest_array() == 50
