"""`peft-score` as a user starts it, and what `peft-report` makes of what it wrote."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peft_cli.cli.report import main as report
from peft_cli.cli.score import main, read_files
from peft_cli.metrics import score
from tests.cli.test_report import make_result, tabulated

TEXTS = ["A pub by the river.", "Cheap\u2028food", ""]
REFERENCES = [["The river pub.", "A pub by the river."], ["Cheap food"], ["Something"]]
ROWS = [
    {"id": f"test-{i}", "source": f"s{i}", "prediction": text, "references": refs}
    for i, (text, refs) in enumerate(zip(TEXTS, REFERENCES, strict=True))
]


def write(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path) -> Path:
    return write(tmp_path / "predictions.jsonl", ROWS)


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a finished run that was scored by the protocol e2e."""
    from peft_cli.data.reading.content import fingerprint

    path = write(tmp_path / "runs" / "e2e" / "pt" / "predictions.jsonl", ROWS)
    scores = score(["bleu", "nist"], TEXTS, REFERENCES, "e2e")
    digest = fingerprint(read_files(path, None).examples)
    result = make_result(run__data="e2e", data__sha256={"test": digest}, scores=scores.values)
    result |= {"signatures": scores.signatures, "undefined": {}, "scored": scores.items}
    (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return path.parent


def printed(capsys) -> dict[str, str]:
    """What is printed after each name."""
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)


def refusal(capsys, arguments: list[str]) -> str:
    """The one sentence with which a request is refused."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert not shown.out and shown.err.startswith("peft-score: ") and len(shown.err.splitlines()) == 1
    return shown.err


def test_it_prints_the_scores_and_their_signatures(file, capsys):
    assert main([str(file), "--protocol", "dart", "--metrics", "bleu,rougeL"]) == 0
    scores = score(["bleu", "rougeL"], TEXTS, REFERENCES, "dart")
    shown = printed(capsys)
    assert shown["bleu"] == f"{scores.values['bleu']:.4f}" and shown["bleu:"] == scores.signatures["bleu"]
    assert shown["rougeL"] == f"{scores.values['rougeL']:.4f}"
    assert shown["references"] == "of an item (so many items): 1 (2), 2 (1)"


def test_scores_are_printed_in_a_column(file, capsys):
    assert main([str(file), "--metrics", "bleu,rougeLsum"]) == 0
    first, second, empty, *_ = capsys.readouterr().out.split("\n")
    assert first.index(".") == second.index(".") and first.startswith("bleu       ") and not empty


def test_the_defaults_are_the_protocol_plain_and_its_metrics(file, capsys):
    assert main([str(file)]) == 0
    assert {"bleu", "rouge1", "rouge2", "rougeL"} <= set(printed(capsys))


def test_the_protocol_is_that_of_the_run_that_made_the_file(run, capsys):
    assert main([str(run / "predictions.jsonl"), "--metrics", "bleu"]) == 0
    assert "protocol:e2e" in printed(capsys)["bleu:"]


def test_another_file_in_a_runs_folder_is_not_the_runs(run, capsys):
    (run / "own.jsonl").write_bytes((run / "predictions.jsonl").read_bytes())
    assert main([str(run / "own.jsonl"), "--metrics", "bleu"]) == 0
    assert "protocol:plain" in printed(capsys)["bleu:"]


def test_equal_sources_are_one_item_where_the_protocol_groups(tmp_path, capsys):
    rows = [{"source": source, "prediction": "a", "references": ["a"]} for source in ("s", "", "s")]
    with_sources = write(tmp_path / "with.jsonl", rows)
    without = write(tmp_path / "without.jsonl", [{"prediction": "a", "references": ["a"]}] * 3)
    for path, n_items in ((with_sources, 2), (without, 3)):
        assert main([str(path), "--protocol", "lora_geneval", "--metrics", "bleu"]) == 0
        assert f"items:{n_items}|" in printed(capsys)["bleu:"]


def test_one_reference_may_be_a_text_without_a_list(tmp_path, capsys):
    rows = [{"prediction": "yes", "references": "yes"}, {"prediction": "a", "references": "no"}]
    path = write(tmp_path / "own.jsonl", rows)
    assert main([str(path), "--metrics", "accuracy,f1", "--labels", "no, yes", "--protocol", "glue"]) == 0
    shown = printed(capsys)
    assert (shown["accuracy"], shown["f1"]) == ("50.0000", "100.0000") and "class:yes" in shown["f1:"]


def test_a_metric_without_a_value_is_a_dash_with_the_reason(file, capsys):
    assert main([str(file), "--metrics", "pearson", "--protocol", "glue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pearson  -" and lines[-1] == "pearson has no value: 3 of the predictions are no numbers"


def test_an_item_without_a_reference_is_counted(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", [ROWS[0], {"source": "", "prediction": "a", "references": []}])
    assert main([str(path), "--metrics", "bleu"]) == 0
    assert "not scored, as they have no reference: 1" in capsys.readouterr().out


# Requests


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.jsonl"], "absent.jsonl cannot be read, or only in part (No such file or directory)"),
        (["{file}", "--protocol", "e3e"], "protocol=e3e is not possible; there are dart"),
        (["{file}", "--metrics", "blue"], "there is no metric blue; there are accuracy"),
        (["{lines}"], "is no .jsonl file, so it has no references; add --references FILE"),
        (["{lines}", "--references", "{lines}"], "lines.txt has to be a .jsonl file whose rows have references"),
        (["{lines}", "--references", "{file}"], "has 2 predictions and"),
        (["{file}", "--out", "{folder}"], "--out needs --data NAME"),
        (["{file}", "--out", "{lines}", "--data", "x"], "lines.txt is a file; name a folder"),
        (["{file}", "--out", "{lines}/x", "--data", "x"], "lines.txt/x: Not a directory"),
        (["{file}", "--colour"], "unrecognized arguments: --colour; peft-score --help"),
        (["{file}", "--metrics", "bertscore=a@1,bertscore=b@1"], "bertscore=a@1 and bertscore=b@1 would have one"),
        (["{file}", "--labels", "a  b,a b"], "are the same text in the protocol plain"),
    ],
)
def test_a_wrong_request_is_one_sentence(file, tmp_path, capsys, arguments, sentence):
    lines, folder = tmp_path / "lines.txt", tmp_path / "out"
    lines.write_text("a\nb\n")
    assert sentence in refusal(capsys, [text.format(file=file, lines=lines, folder=folder) for text in arguments])
    assert not folder.exists() and lines.read_text() == "a\nb\n"


@pytest.mark.parametrize("content", ['{"scored": []}', '{"run": {"data": 3}}', '{"run": []}', "{", "[]", "3", "\xff"])
def test_a_broken_result_beside_the_predictions_is_one_sentence(run, capsys, content):
    (run / "result.json").write_text(content, encoding="latin-1")
    assert str(run / "result.json") in refusal(capsys, [str(run / "predictions.jsonl")])


def test_a_program_that_fails_is_one_sentence(file, monkeypatch, capsys):
    def fail(*arguments):
        raise ChildProcessError("java failed:\nno memory")

    monkeypatch.setattr("peft_cli.cli.score.score", fail)
    assert refusal(capsys, [str(file)]) == "peft-score: java failed: no memory\n"


def test_nothing_from_a_file_controls_the_terminal(tmp_path, capsys):
    row = {"\x1b[31m\n\u202e": 1, "references": ["b"]}
    shown = refusal(capsys, [str(write(tmp_path / "a.jsonl", [row]))])
    folder = tmp_path / "runs" / "b"
    path = write(folder / "predictions.jsonl", ROWS)
    (folder / "result.json").write_text(json.dumps({"run": {"data": "x"}, "scored": {"protocol": "\x1b]0;a\x07"}}))
    shown += refusal(capsys, [str(path)])
    assert not {"\x1b", "\u202e", "\x07"} & set(shown)


def test_a_terminal_that_lacks_a_character_gets_its_escape(tmp_path):
    folder = tmp_path / "modèle"
    folder.mkdir()
    path = write(folder / "a.jsonl", ROWS)
    command = [sys.executable, "-m", "peft_cli.cli.score", str(path), "--metrics", "é"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert done.returncode == 2 and b"there is no metric \\xe9" in done.stderr


# Folders


def test_another_system_is_in_the_table_of_the_same_protocol_and_test_set(run, tmp_path, capsys):
    texts = tmp_path / "tgen.txt"
    texts.write_text("A pub.\nFood\nSomething\n", encoding="utf-8")
    arguments = [str(texts), "--references", str(run / "predictions.jsonl"), "--metrics", "bleu,nist"]
    assert main([*arguments, "--name", "TGen", "--out", str(tmp_path / "runs" / "tgen")]) == 0
    assert main([*arguments, "--protocol", "dart", "--out", str(tmp_path / "runs" / "other")]) == 0
    capsys.readouterr()
    assert report([str(tmp_path / "runs")]) == 0
    (_, together), (heading, [alone]) = tabulated(capsys.readouterr().out)
    assert [row["method"] for row in together] == ["pt", "TGen"]
    assert together[1]["trained"] == "-" and together[1]["bleu"] != together[0]["bleu"]
    assert heading == "e2e · other systems" and alone["method"] == "tgen"


def test_two_systems_of_one_name_are_two_rows(run, tmp_path, capsys):
    for folder, text in (("a", "A pub."), ("b", "The river pub.")):
        path = tmp_path / folder / "system.txt"
        path.parent.mkdir()
        path.write_text(f"{text}\nFood\nSomething\n", encoding="utf-8")
        arguments = [str(path), "--references", str(run / "predictions.jsonl"), "--metrics", "bleu,nist"]
        assert main([*arguments, "--out", str(tmp_path / "runs" / folder)]) == 0
    capsys.readouterr()
    assert report([str(tmp_path / "runs")]) == 0
    ((_, rows),) = tabulated(capsys.readouterr().out)
    _, first, second = rows
    assert first["method"].startswith("system") and second["method"].startswith("system")
    assert first["method"] != second["method"] and first["bleu"] != second["bleu"]


def test_the_folder_has_the_texts_and_each_examples_own_scores(run, tmp_path):
    out = tmp_path / "out"
    assert main([str(run / "predictions.jsonl"), "--metrics", "bleu,rouge_l", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [{key: row[key] for key in ROWS[0]} for row in rows] == ROWS
    assert [row["scores"]["rouge_l"] for row in rows] == [100.0, 100.0, 0.0]


def test_the_result_says_what_was_scored(run, tmp_path):
    path, out = run / "predictions.jsonl", tmp_path / "new" / "out"
    assert main([str(path), "--metrics", "bleu,pearson", "--out", str(out), "--name", "ours"]) == 0
    result, before = (json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in (out, run))
    scores = score(["bleu", "pearson"], TEXTS, REFERENCES, "e2e")
    assert result["scores"] == scores.values and result["signatures"] == scores.signatures
    assert result["undefined"] == scores.reasons and result["scored"] == scores.items
    assert result["data"] == {"n_test": 3, "sha256": before["data"]["sha256"]}
    assert result["run"]["data"] == "e2e" and result["run"]["method"] == result["system"]["name"] == "ours"
    assert (
        result["system"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        and "sacrebleu" in result["environment"]["versions"]
    )


@pytest.mark.parametrize("name", ["result.json", "config.yaml", "predictions.jsonl"])
def test_a_folder_with_files_of_a_run_is_not_overwritten(file, tmp_path, capsys, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("{}")
    arguments = [str(file), "--metrics", "bleu", "--data", "x", "--out", str(tmp_path / "run")]
    assert f"has a {name}; name another folder" in refusal(capsys, arguments)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


def test_out_may_begin_with_the_home_folder(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([str(file), "--metrics", "bleu", "--data", "x", "--out=~/out"]) == 0
    assert (tmp_path / "out" / "result.json").exists()
