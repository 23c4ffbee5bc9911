import io
import json
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from peft_cli.run_folder.failure import Failure
from peft_cli.sweep import Run
from peft_cli.sweep import board as boards
from peft_cli.sweep.board import Board, format_duration, format_progress, format_scores, last_row

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
        board.draw([(run, 0.0)], 3, 0)
        run.folder.finish({"scores": {"bleu": 12.3456}})
        board.show_finished(run, 60.0)
        board.show_failed(run, Failure("KeyError: 'x'", False))
    first, second = board.console.file.getvalue().splitlines()
    assert first.startswith("1/4 finished  mini/tiny/pt/shots=8,seed=0-") and "bleu 12.35" in first
    assert first.endswith("60.0 s, about 3 min left") and second.endswith("KeyError: 'x', about 2 min left")


def test_the_table_shows_step_and_last_value(run):
    run.folder.log({"step": 7, "loss": 2.5, "lr": [0.1], "step_seconds": 1.0})
    with terminal(Board(2, 1), True) as board:
        board.draw([(run, 0.0)], 1, 1)
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
    assert format_progress(run) == expected


def test_a_score_without_a_value_is_a_dash(run):
    run.folder.finish({"scores": {"bleu": 1.0, "pearson": None, "odd": "x", "huge": 10**400}})
    assert format_scores(run) == "bleu 1.00  pearson -  odd -  huge -"


@pytest.mark.parametrize("result", ["", "[]", '{"scores": [1]}', "{"])
def test_a_broken_result_has_no_scores(run, result):
    (run.folder.path / "result.json").write_text(result)
    assert format_scores(run) == ""


@pytest.mark.parametrize("log", ['{"step": 1, "loss": "x"}\n', '{"step": 1, "loss": 1e400}\n', '{"step": 1}\n'])
def test_a_loss_that_is_no_number_is_not_shown(run, log):
    (run.folder.path / "log.jsonl").write_text(log)
    assert format_progress(run) == ("1/40", "")


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_any_log_can_be_shown(content):
    with TemporaryDirectory() as folder:
        run = Run([], CONFIG | {"runs": folder}, {"data": "mini", "backbone": "tiny", "method": "pt"})
        run.folder.open({}, goes_on=False)
        (run.folder.path / "log.jsonl").write_bytes(content + b"\n")
        assert all("\n" not in text and "\x1b" not in text for text in format_progress(run))


def test_a_long_line_of_a_log_is_not_read_as_a_whole(run):
    (run.folder.path / "log.jsonl").write_text('{"step": 1, "text": "' + "x" * 10_000 + '"}\n')
    assert last_row(run.folder.path / "log.jsonl") == {}


def test_a_narrow_terminal_breaks_the_name_and_keeps_the_step(run):
    run.folder.log({"step": 7, "loss": 2.5})
    board = terminal(Board(2, 1), True)
    board.console.width = 40
    with board:
        board.draw([(run, 0.0)], 1, 1)
    assert "7/40" in board.console.file.getvalue() and "loss 2.5" in board.console.file.getvalue()


def test_a_failure_cannot_control_the_terminal(run):
    with terminal(Board(1, 1), False) as board:
        board.show_failed(run, Failure("\x1b[2J", False))
    assert "\x1b" not in board.console.file.getvalue()


def test_a_duration_has_the_unit_that_fits():
    assert [format_duration(seconds) for seconds in (5, 300, 9000, 400000)] == ["5 s", "5 min", "2 h", "4.6 days"]
