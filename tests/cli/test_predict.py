"""`peft-predict` as a user starts it, with runs of several tasks and without."""

import io
import json

import pytest
import yaml

from peft_cli.cli.predict import main
from tests.test_run import QUICK, peft_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of finished runs, by name: two tasks on tiny-gpt2, a third with classes, and what cannot join."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [{"question": f"name : Rosa {i} | kind : rose", "answer": ["yes", "no"][i % 2]} for i in range(8)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    split = [f"data.{name}=train.jsonl" for name in ("train", "validation", "test")]
    classes = ["data=files", f"data.root={folder}", *split, "data.source=question", "data.target=answer"]
    classes += ["data.labels=['yes','no']", "data.metrics=[accuracy]"]
    made = {
        "spt": ["method=spt"], "lora": ["method=lora"], "prefix": ["method=prefix", *classes, "shots=4"],
        "ft": ["method=ft"], "t5": ["method=lora", "backbone=tiny-t5"],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, arguments in made.items():
            assert peft_run(patch, *arguments, f"runs={folder / name}", *QUICK, "shots=8", "train.steps=2") == 0
    return {name: next((folder / name).glob("**/result.json")).parent for name in made}


def ask(monkeypatch, capsys, lines, *arguments):
    """What peft-predict prints for `lines`: its rows, or the one sentence of an error."""
    text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code, shown = main(list(map(str, arguments))), capsys.readouterr()
    assert code == (2 if shown.err else 0)
    return shown.err.removeprefix("peft-predict: ").strip() or list(map(json.loads, shown.out.splitlines()))


def stored(run):
    """Sources and predictions that a run left."""
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def test_three_tasks_are_answered_as_their_runs_did(runs, monkeypatch, capsys):
    tasks = {"one": "spt", "two": "lora", "three": "prefix"}
    rows = [(task, row) for i in range(4) for task, name in tasks.items() for row in stored(runs[name])[i : i + 1]]
    lines = [{"task": task, "source": row["source"], "n": i} for i, (task, row) in enumerate(rows)]
    made = ask(monkeypatch, capsys, lines, *(f"{task}={runs[name]}" for task, name in tasks.items()))
    assert [row.pop("prediction") for row in made] == [row["prediction"] for _, row in rows]
    assert made == lines


@pytest.mark.parametrize("name", ["spt", "ft", "t5"])
def test_one_run_needs_no_task_and_may_be_any(runs, monkeypatch, capsys, name, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps({"source": row["source"]}) + "\n" for row in stored(runs[name]))
    )
    assert ask(monkeypatch, capsys, "", runs[name], "--input", tmp_path / "in.jsonl", "--out", tmp_path / "out") == []
    made = [json.loads(line)["prediction"] for line in (tmp_path / "out").read_text().splitlines()]
    assert made == [row["prediction"] for row in stored(runs[name])]


def test_a_task_is_called_by_its_data(runs, monkeypatch, capsys):
    lines = [{"task": "files", "source": "name : Rosa"}, {"task": "mini", "source": "name : Rosa"}]
    made = ask(monkeypatch, capsys, lines, runs["spt"], runs["prefix"])
    assert made[0]["prediction"] in ("yes", "no") and made[1]["prediction"] not in ("yes", "no")


def test_decoding_can_be_changed(runs, monkeypatch, capsys):
    row = {"source": stored(runs["lora"])[0]["source"]}
    (short,) = ask(monkeypatch, capsys, [row], runs["lora"], "--decode", "max_new_tokens=2")
    assert stored(runs["lora"])[0]["prediction"].startswith(short["prediction"])
    assert len(short["prediction"]) < len(stored(runs["lora"])[0]["prediction"])


def test_runs_that_cannot_share_a_pass_say_why(runs, monkeypatch, capsys):
    line = [{"task": "a", "source": "name : Rosa"}]
    said = ask(monkeypatch, capsys, line, f"a={runs['spt']}", f"b={runs['t5']}")
    assert f"{runs['spt']} is a run on tiny-gpt2 in fp32 (" in said and f"{runs['t5']} on tiny-t5 in fp32 (" in said
    said = ask(monkeypatch, capsys, line, f"a={runs['spt']}", f"b={runs['ft']}")
    assert said == f"{runs['ft']} is of FT, which changes weights of the backbone; predict with it apart"
    said = ask(monkeypatch, capsys, line, f"b={runs['ft']}", f"a={runs['spt']}")
    assert said.startswith("the method of b (FT) changes weights of the backbone itself")


def test_runs_that_decoded_otherwise_say_so(runs, monkeypatch, capsys, tmp_path):
    config = yaml.safe_load((runs["lora"] / "config.yaml").read_text())
    result = json.loads((runs["lora"] / "result.json").read_text())
    result["config"]["decode"]["beams"] = config["decode"]["beams"] = 4
    (tmp_path / "result.json").write_text(json.dumps(result))
    said = ask(monkeypatch, capsys, "", runs["lora"], f"b={tmp_path}")
    assert said.endswith(f"{tmp_path} with beams=4; say which to take, as in --decode beams=1")


@pytest.mark.parametrize(
    "lines, reason",
    [
        ("{", "the input, line 1 is no JSON ("),
        ('\n["a"]', 'the input, line 2 has no source; write it as {"task": "one", "source": "..."}'),
        ('{"source": "a"}', "the input, line 1 has no task; it has to be one of one, two"),
        ('{"source": "a", "task": "c"}', "the input, line 1 is of the task 'c', and the runs answer one, two"),
    ],
)
def test_a_bad_line_is_told_with_its_number(runs, monkeypatch, capsys, lines, reason):
    assert ask(monkeypatch, capsys, lines, f"one={runs['spt']}", f"two={runs['lora']}").startswith(reason)


def test_a_bad_command_line_is_one_sentence(runs, monkeypatch, capsys, tmp_path):
    said = ask(monkeypatch, capsys, "", runs["spt"], runs["lora"])
    assert f"both answer mini; name their tasks, as in one={runs['spt']} two={runs['lora']}" in said
    assert ask(monkeypatch, capsys, "", tmp_path) == f"{tmp_path} is no folder of a finished run; it has no result.json"
    assert "decode.beams=many is not possible" in ask(monkeypatch, capsys, "", runs["spt"], "--decode", "beams=many")
    assert "decode has no key beam" in ask(monkeypatch, capsys, "", runs["spt"], "--decode", "beam=1")
    assert "write it as --decode beams=<value>" in ask(monkeypatch, capsys, "", runs["spt"], "--decode", "beams")
    assert "peft-predict --help" in ask(monkeypatch, capsys, "")


def test_a_changed_backbone_is_refused(runs, monkeypatch, capsys, tmp_path):
    for path in runs["spt"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    result = json.loads((tmp_path / "result.json").read_text())
    result["backbone"]["sha256"] = "0" * 64
    (tmp_path / "result.json").write_text(json.dumps(result))
    said = ask(monkeypatch, capsys, [{"source": "a"}], tmp_path)
    assert "are not those that" in said and "tiny-gpt2" in said
