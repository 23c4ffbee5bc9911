"""The whole report over small real results, and what it does with folders that are no runs."""

import json
import shutil
from pathlib import Path

import pytest

from peft_cli.cli.report import main
from peft_cli.report import full
from peft_cli.report.formats import format_module, formats
from tests.cli.test_report import tabulated

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    assert main([str(GOLDEN / "runs"), "--out", str(folder)]) == 0
    return folder


def test_the_report_is_the_one_that_was_read_and_kept(out):
    """`python -m peft_cli.cli.report tests/report/golden/runs --out <folder>` made report.md of real runs."""
    assert (out / "report.md").read_text(encoding="utf-8") == (GOLDEN / "report.md").read_text(encoding="utf-8")


def test_every_format_and_figure_is_written(out):
    assert {path.name for path in out.glob("report.*")} == {f"report{format_module(name).SUFFIX}" for name in formats()}
    pictures = {path.stem for path in (out / "figures").glob("*.png")}
    assert pictures and pictures == {path.stem for path in (out / "figures").glob("*.pdf")}
    assert {name.partition("-")[0] for name in pictures} == {"parameters", "time_memory", "learning", "wins"}
    text = (out / "report.tex").read_text(encoding="utf-8")
    assert all(f"figures/{name}.pdf" in text for name in pictures)


def test_the_page_is_small(out):
    assert (out / "report.html").stat().st_size <= 2_000_000


def test_runs_that_were_moved_make_the_same_report(tmp_path, capsys):
    shutil.copytree(GOLDEN / "runs", tmp_path / "elsewhere" / "copied")
    assert main([str(GOLDEN / "runs")]) == 0
    here = capsys.readouterr().out
    assert main([str(tmp_path / "elsewhere")]) == 0
    assert capsys.readouterr().out == here


def test_broken_and_half_copied_folders_are_named_and_skipped(tmp_path, capsys):
    runs = tmp_path / "runs"
    shutil.copytree(GOLDEN / "runs", runs)
    one, two, three, four, *_ = sorted(path.parent for path in runs.glob("**/result.json"))
    (one / "result.json").write_bytes((one / "result.json").read_bytes()[:700])
    (two / "predictions.jsonl").write_bytes((two / "predictions.jsonl").read_bytes()[:700])
    (three / "log.jsonl").write_text('{"validation_loss": 1')
    (four / "predictions.jsonl").unlink()
    assert main([str(runs), "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("warning") == 1 and str(one / "result.json") in captured.err
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "absent where a run has predictions.jsonl that cannot be read" in text
    assert "- 1 with a result.json that cannot be read" in text


def test_what_was_tried_and_has_no_run_is_a_row_with_its_reason(tmp_path, capsys):
    runs = tmp_path / "runs"
    shutil.copytree(GOLDEN / "runs", runs)
    folder = runs / "mini" / "tiny-gpt2" / "dept" / "shots=10,seed=0-0123456789"
    folder.mkdir(parents=True)
    (folder / "error.json").write_text(json.dumps({"error": "OutOfMemoryError: 3 GiB", "command": "", "traceback": ""}))
    assert main([str(runs), "--full", "--no-figures", "--resamples", "0"]) == 0
    rows = tabulated(capsys.readouterr().out)[0][1]
    assert [row["bleu"] for row in rows if row["method"] == "dept"] == ["failed"]


@pytest.mark.parametrize(("asked", "is_drawn"), [([], False), (["--resamples", "50"], True)])
def test_over_many_predictions_resamples_have_to_be_asked_for(monkeypatch, capsys, asked, is_drawn):
    monkeypatch.setattr(full, "MOST_ITEMS", 20)
    assert main([str(GOLDEN / "runs"), "--full", "--no-figures", *asked]) == 0
    text = capsys.readouterr().out
    assert ("over items" in text) is is_drawn and ("no resamples of the 180 predictions" in text) is not is_drawn
