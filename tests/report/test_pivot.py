"""Pivots: what a cell says, why one is empty, and what is refused."""

import json

import pytest

from peft_cli.cli.report import main
from tests.cli.test_report import make_result, tabulated, untouched, write
from tests.report.results import result, study, write_study


@pytest.fixture
def pivot(tmp_path, capsys):
    def pivot(results, *arguments):
        code = main([str(write_study(tmp_path / "runs", results, with_log=False)), *arguments])
        captured = capsys.readouterr()
        return (code, captured.err) if code else tabulated(captured.out)

    return pivot


def test_a_cell_has_mean_interval_and_number_of_runs(pivot):
    made = [make_result(seed=seed, scores={"bleu": bleu}) for seed, bleu in enumerate([40.0, 42.0, 44.0])]
    [(heading, [row])] = pivot(made, "--rows", "method", "--columns", "shots")
    assert heading == "bleu by method and shots"
    assert row == {"method": "pt", "shots=50": f"42.0 ± {4.30265 * 2 / 3**0.5:.1f} (3)"}


def test_rows_are_ordered_by_what_is_stored_and_columns_by_number(pivot):
    made = study(methods=["ft", "pt", "dept"], shots=(10, 200, 50), seeds=(0,), data=["mini"])
    [(_, rows)] = pivot(made, "--rows", "method", "--columns", "shots", "--metric", "bleu")
    assert [row["method"] for row in rows] == ["untouched", "dept", "pt", "ft"]
    assert list(rows[0]) == ["method", "shots=10", "shots=50", "shots=200"]
    assert {rows[0][f"shots={shots}"] for shots in (10, 50, 200)} == {"13.5 ± - (1)"}


def test_several_keys_make_a_row(pivot):
    made = study(methods=["pt"], shots=(10, 50), seeds=(0,))
    [(_, rows)] = pivot(made, "--rows", "data,method", "--columns", "shots", "--metric", "bleu")
    assert [row["data, method"] for row in rows] == ["e2e, untouched", "e2e, pt", "mini, untouched", "mini, pt"]


def test_without_columns_the_metrics_are_columns(pivot):
    [(_, rows)] = pivot([make_result("pt")], "--rows", "method", "--metric", "bleu,rougeL")
    assert rows == [{"method": "pt", "runs": "1", "bleu": "40.0 ± - (1)", "rougeL": "50.0 ± - (1)"}]


def test_any_key_of_a_run_can_be_a_row(pivot):
    made = [make_result(config__method__lr=lr) for lr in (0.01, 0.3)]
    [(_, rows)] = pivot(made, "--rows", "method.lr", "--metric", "bleu")
    assert [row["method.lr"] for row in rows] == ["0.01", "0.3"]


def test_where_chooses(pivot):
    made = study(methods=["pt", "ft"], shots=(10, 50), seeds=(0, 1))
    [(_, rows)] = pivot(
        made, "--where", "data=mini", "shots=50,0", "--rows", "method", "--columns", "shots", "--metric", "bleu"
    )
    assert [list(row) for row in rows] == [["method", "shots=50"]] * 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data__sha256": {"test": "e450c20db0951234"}}, "data.sha256.test=3df1785847259c5e (1 runs, such as"),
        ({"test_limit": None}, "test_limit=20"),
        ({"signatures__bleu": "other"}, "signatures.bleu="),
        ({"config__decode__beams": 1}, "decode.beams=5"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_differs(pivot, changes, told):
    code, error = pivot([make_result("pt"), make_result("ft", **changes)], "--rows", "method", "--metric", "bleu")
    assert code == 2 and told in error and "cannot be in one table; choose with --where" in error
    assert error.count("\n") == 1


def test_data_sets_have_test_sets_of_their_own(pivot):
    other = make_result("pt", run__data="e2e", data__sha256={"test": "e450c20db0951234"})
    [(_, [row])] = pivot([make_result("pt"), other], "--rows", "method", "--columns", "data", "--metric", "bleu")
    assert list(row) == ["method", "data=e2e", "data=mini"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"config__method__lr": 7}, "method.lr"), ({"shots": 200}, "shots"), ({"run__backbone": "gpt2"}, "backbone")],
)
def test_a_cell_never_pools_what_differs_in_more_than_seeds(pivot, changes, key):
    code, error = pivot([make_result(seed=0), make_result(seed=1, **changes)], "--rows", "method", "--metric", "bleu")
    assert code == 2 and f"would mix runs with {key}=" in error and f"or make {key} a row or a column" in error


def test_an_empty_cell_says_why(tmp_path, capsys):
    runs = write_study(tmp_path, [untouched(), result("pt", 10, 0), result("pt", 50, 0), result("lora", 10, 0)])
    errors = {"bitfit": "ValueError: BitFit trains bias terms and t5 has none", "lora": "OutOfMemoryError: 3 GiB"}
    for method, error in errors.items():
        folder = runs / "mini" / "tiny-gpt2" / method / "shots=50,seed=0-0123456789"
        folder.mkdir(parents=True)
        (folder / "error.json").write_text(json.dumps({"error": error, "command": "", "traceback": ""}))
    (runs / "mini" / "tiny-gpt2" / "pt" / "shots=200,seed=0-0123456789").mkdir()
    (runs / "mini" / "tiny-gpt2" / "pt" / "shots=200,seed=0-0123456789" / "log.jsonl").write_text("")
    write(tmp_path / "more", result("ft", 200, 0))
    arguments = ["--rows", "method", "--columns", "shots", "--metric", "bleu"]
    assert main([str(runs), str(tmp_path / "more" / "runs"), *arguments]) == 0
    out = capsys.readouterr().out
    rows = {row["method"]: row for row in tabulated(out)[0][1]}
    assert rows["lora"]["shots=50"] == "failed" and rows["pt"]["shots=200"] == "unfinished"
    assert rows["lora"]["shots=200"] == "not run"
    assert "- lora, 50: failed: OutOfMemoryError: 3 GiB" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rows", "colour"], "no run has colour"),
        (["--rows", "method", "--metric", "bluu"], "no run has a score bluu; there are bleu"),
        (["--where", "shots=7"], "no run that is left has shots=7; there are 50"),
        (["--where", "shots"], "write it as shots=<value>"),
        (["--full", "--resamples", "-1"], "--resamples -1"),
        (["--paper", "table9"], "there is no paper's table table9"),
    ],
)
def test_a_wrong_request_says_what_there_is(pivot, arguments, told):
    code, error = pivot([make_result()], *arguments)
    assert code == 2 and told in error and error.count("\n") == 1
