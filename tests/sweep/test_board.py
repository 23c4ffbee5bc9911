import io
import json

import pytest
from rich.console import Console

from peft_cli.run_folder.failure import Failure
from peft_cli.sweep import Run
from peft_cli.sweep import board as boards
from peft_cli.sweep.board import Board, duration, position

CONFIG = {"shots": 8, "seed": 0, "train": {"steps": 40}}


@pytest.fixture
def run(tmp_path):
    made = Run([], CONFIG | {"runs": str(tmp_path)}, {"data": "mini", "backbone": "tiny", "method": "pt"})
    made.folder.open({}, goes_on=False)
    return made


def terminal(board, is_terminal):
    board.console = Console(file=io.StringIO(), force_terminal=is_terminal, width=120)
    board.live = boards.Live(console=board.console, auto_refresh=False) if is_terminal else None
    return board


def test_plain_lines_tell_each_end_and_the_time_left(run):
    with terminal(Board(4, 1), False) as board:
        board.show([(run, 0.0)], 3, 0)
        run.folder.finish({"scores": {"bleu": 12.3456}})
        board.finished(run, 60.0)
        board.failed(run, Failure("KeyError: 'x'", False))
    first, second = board.console.file.getvalue().splitlines()
    assert first.startswith("1/4 finished  mini/tiny/pt/shots=8,seed=0-") and "bleu 12.35" in first
    assert first.endswith("60.0 s, about 3 min left") and second.endswith("KeyError: 'x', about 2 min left")


def test_the_table_shows_step_and_last_value(run):
    run.folder.log({"step": 7, "loss": 2.5, "lr": [0.1], "step_seconds": 1.0})
    with terminal(Board(2, 1), True) as board:
        board.show([(run, 0.0)], 1, 1)
    shown = board.console.file.getvalue()
    assert "7/40" in shown and "loss 2.5" in shown
    assert "0 of 2 finished, 0 failed, 1 waiting, 1 in other processes" in shown


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ("0/40", "")),
        ([{"step": 10, "loss": 1.0}, {"step": 10, "validation_loss": 3.25}], ("10/40", "validation_loss 3.25")),
        ([{"step": 40, "loss": 1.0}], ("40/40", "predicts")),
        ([{"step": 3, "loss": None}], ("3/40", "")),
    ],
)
def test_the_position_is_the_last_whole_line_of_the_log(run, rows, expected):
    lines = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4'
    (run.folder.path / "log.jsonl").write_text(lines)
    assert position(run) == expected


def test_a_duration_has_the_unit_that_fits():
    assert [duration(seconds) for seconds in (5, 300, 9000, 400000)] == ["5 s", "5 min", "2 h", "4.6 days"]
