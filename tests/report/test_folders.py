"""What lies below folders: each run once, and a warning for each file that is no result."""

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_cli.report.folders import Attempt, find_runs
from peft_cli.run_folder.files import one_line
from tests.cli.test_report import make_result, write


@pytest.fixture
def runs(tmp_path):
    return write(tmp_path, make_result(seed=0), make_result(seed=1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe\xfd",
        b"{" * 10_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"scores": {"bleu": ' + b"9" * 10_000 + b"}}",
        b"[" + b" " * (65 << 20) + b"]",
        json.dumps(make_result(scores={"bleu": "forty"})).encode(),
        json.dumps(make_result(scores={"bleu": 1e308})).encode(),
        json.dumps(make_result(cost__params_backbone=0)).encode(),
    ],
    ids=["empty", "list", "null", "bytes", "torn", "deep", "long number", "65 MiB", "text", "large", "no weights"],
)
def test_a_result_that_is_none_costs_one_warning(runs, content):
    path = runs / "mini" / "00000" / "result.json"
    path.write_bytes(content)
    found = find_runs([runs])
    assert [run.seeds for run in found.runs] == [(1, 0)]
    [warning] = found.warnings
    assert str(path) in warning and "\n" not in warning and len(warning) < 500


def test_links_that_loop_and_files_that_never_end_cost_a_warning(runs):
    (runs / "again").symlink_to(runs)
    (runs / "itself").symlink_to("itself")
    for name, target in {"loop": "result.json", "device": "/dev/zero", "absent": "nowhere"}.items():
        (runs / name).mkdir()
        (runs / name / "result.json").symlink_to(target)
    (runs / "pipe").mkdir()
    os.mkfifo(runs / "pipe" / "result.json")
    found = find_runs([runs, runs / "again"])
    assert len(found.runs) == 2 and len(found.warnings) == 3
    assert [attempt.folder.name for attempt in found.attempts] == ["absent"]


def test_a_folder_of_runs_behind_a_link_is_read_once(runs, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "mini").symlink_to(runs / "mini")
    assert len(find_runs([tmp_path / "linked"]).runs) == len(find_runs([tmp_path / "linked", runs]).runs) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_cannot_be_looked_into_costs_a_warning(runs):
    (runs / "mini" / "00000").chmod(0)
    found = find_runs([runs])
    (runs / "mini" / "00000").chmod(0o700)
    assert len(found.runs) == 1 and "Permission denied" in found.warnings[0]


@given(st.text() | st.integers() | st.lists(st.text()) | st.none() | st.dictionaries(st.text(), st.text()))
def test_an_error_of_any_kind_is_one_short_line(tmp_path_factory, error):
    runs = write(tmp_path_factory.mktemp("runs"), make_result())
    (runs / "failed").mkdir()
    (runs / "failed" / "error.json").write_text(json.dumps({"error": error}))
    [attempt] = find_runs([runs]).attempts
    assert (
        attempt.state in ("failed", "impossible")
        and one_line(attempt.reason) == attempt.reason
        and len(attempt.reason) <= 500
    )


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are texts there")
def test_a_name_that_is_no_text_can_be_shown(tmp_path):
    runs = write(tmp_path, make_result())
    folder = os.fsencode(runs) + b"/\xff\x1b[31m"
    os.mkdir(folder)  # noqa: PTH102 # a path of bytes
    with open(folder + b"/result.json", "wb") as file:  # noqa: PTH123
        file.write(b"{")
    [warning] = find_runs([runs]).warnings
    assert warning.encode() and warning.isprintable()


def test_an_attempt_is_identified_by_its_path():
    attempt = Attempt(Path("runs/mini/tiny-gpt2/pt/shots=10,seed=0-0123456789"), "failed", "")
    assert attempt.identity == {"data": "mini", "backbone": "tiny-gpt2", "method": "pt", "shots": "10"}
    assert Attempt(Path("x"), "failed", "").identity["shots"] == "x"
