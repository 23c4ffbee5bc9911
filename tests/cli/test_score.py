"""`peft-score` as a user starts it, and what `peft-report` makes of what it wrote."""

import json
from pathlib import Path

import pytest
from tests.cli.test_report import make_result, tabulated

from peft_cli.cli.score import main
from peft_cli.metrics import score
from peft_cli.report import main as report

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
    scores = score(["bleu", "nist"], TEXTS, REFERENCES, "e2e")
    from peft_cli.cli.score import as_example, fingerprint

    examples = [as_example(row, "") for row in ROWS]
    result = make_result(run__data="e2e", data__sha256={"test": fingerprint(examples)}, scores=scores.values)
    result |= {"signatures": scores.signatures, "undefined": {}, "scored": scores.items}
    folder = write(tmp_path / "runs" / "e2e" / "pt" / "predictions.jsonl", ROWS).parent
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def printed(capsys) -> dict[str, str]:
    """What stands behind each name on stdout."""
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)


def test_it_prints_the_scores_and_their_signatures(file, capsys):
    assert main([str(file), "--protocol", "dart", "--metrics", "bleu,rougeL"]) == 0
    scores = score(["bleu", "rougeL"], TEXTS, REFERENCES, "dart")
    shown = printed(capsys)
    assert shown["bleu"] == f"{scores.values['bleu']:.4f}" and shown["bleu:"] == scores.signatures["bleu"]
    assert shown["rougeL"] == f"{scores.values['rougeL']:.4f}"


def test_without_more_it_is_plain_with_its_metrics(file, capsys):
    assert main([str(file)]) == 0
    assert {"bleu", "rouge1", "rouge2", "rougeL"} <= set(printed(capsys))


def test_the_protocol_is_that_of_the_run_that_made_the_file(run, capsys):
    assert main([str(run / "predictions.jsonl"), "--metrics", "bleu"]) == 0
    assert "protocol:e2e" in printed(capsys)["bleu:"]


def test_lines_of_text_are_scored_against_another_files_references(file, tmp_path, capsys):
    lines = tmp_path / "system.txt"
    lines.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    assert main([str(lines), "--references", str(file), "--metrics", "bleu"]) == 0
    assert printed(capsys)["bleu"] == f"{score(['bleu'], TEXTS, REFERENCES).values['bleu']:.4f}"


def test_one_reference_may_stand_without_a_list(tmp_path, capsys):
    path = write(
        tmp_path / "own.jsonl", [{"prediction": "yes", "references": "yes"}, {"prediction": "a", "references": "no"}]
    )
    assert main([str(path), "--metrics", "accuracy,f1", "--labels", "no,yes", "--protocol", "glue"]) == 0
    assert printed(capsys)["accuracy"] == "50.0000"


def test_what_has_no_value_is_told(file, capsys):
    assert main([str(file), "--metrics", "pearson", "--protocol", "glue"]) == 0
    assert "pearson has no value: 3 of the predictions are no numbers" in capsys.readouterr().out


def test_another_system_stands_in_the_table_of_the_same_protocol_and_test_set(run, tmp_path, capsys):
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


def test_the_folder_has_each_examples_own_scores(run, tmp_path):
    out = tmp_path / "out"
    assert main([str(run / "predictions.jsonl"), "--metrics", "bleu,rouge_l", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["prediction"] for row in rows] == TEXTS
    assert [row["scores"]["rouge_l"] for row in rows] == [100.0, 100.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.jsonl"], "absent.jsonl: No such file"),
        (["{file}", "--protocol", "e3e"], "protocol=e3e is not possible; there are dart"),
        (["{file}", "--metrics", "blue"], "there is no metric blue; there are accuracy"),
        (["{lines}"], "is no .jsonl file, so it has no references; say --references FILE"),
        (["{lines}", "--references", "{file}"], "has 2 predictions and"),
        (["{broken}"], "line 2, is no JSON"),
        (["{bare}"], "line 1, has no references; they have to be a list of texts"),
        (["{numbers}"], "line 1, has no prediction; it has prediction, references"),
        (["{empty}"], "has no rows"),
        (["{file}", "--out", "{folder}"], "--out needs --data NAME"),
        (["{file}", "--colour"], "unrecognized arguments: --colour; peft-score --help"),
    ],
)
def test_a_wrong_request_is_one_sentence(file, tmp_path, capsys, arguments, sentence):
    (tmp_path / "lines.txt").write_text("a\nb\n")
    (tmp_path / "broken.jsonl").write_text('{"prediction": "a", "references": ["b"]}\n{')
    (tmp_path / "bare.jsonl").write_text('{"prediction": "a"}\n')
    (tmp_path / "numbers.jsonl").write_text('{"prediction": 3, "references": ["b"]}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    names = {name: tmp_path / f"{name}.jsonl" for name in ("broken", "bare", "numbers", "empty")}
    filled = [
        text.format(file=file, lines=tmp_path / "lines.txt", folder=tmp_path / "out", **names) for text in arguments
    ]
    assert main(filled) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err and shown.err.startswith("peft-score: ") and len(shown.err.splitlines()) == 1
    assert not shown.out and not (tmp_path / "out" / "result.json").exists()


def test_a_folder_with_a_result_is_not_overwritten(run, capsys):
    assert main([str(run / "predictions.jsonl"), "--metrics", "bleu", "--out", str(run)]) == 2
    assert "has a result.json" in capsys.readouterr().err
