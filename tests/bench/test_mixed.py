"""The table of mixed batches against one task at a time."""

import json

import pytest

from tests.bench import mixed
from tests.conftest import EXAMPLES
from tests.serving.test_multi_task import DECODING, make


def test_a_line_counts_the_texts_that_are_the_same_in_every_way(tmp_path, monkeypatch):
    _, methods = make("gpt2")
    methods = {task: methods[task] for task in ("prose", "more prose")}
    rows = [{"source": example.source, "references": example.references} for example in EXAMPLES]
    (tmp_path / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(mixed, "ROUNDS", 1)
    runs = dict.fromkeys(methods, tmp_path)
    tasks, *numbers, same = mixed.row(methods, runs, DECODING).strip("| ").split(" | ")
    assert tasks == "2" and same == "6 of 6" and all(float(number) > 0 for number in numbers)
    assert float(numbers[1]) == pytest.approx(float(numbers[0]) / float(numbers[2]), rel=0.1)
    monkeypatch.setattr(mixed, "predict_many", lambda backbone, methods, part, decoding: mixed.predict(
        backbone, next(iter(methods.values())), [example for _, example in part], decoding))  # fmt: skip
    assert "| 6 of 6 |" not in mixed.row(methods, runs, DECODING), "the second task's texts are the first method's"


def test_one_task_is_no_mixture(tmp_path):
    with pytest.raises(ValueError, match="1 runs are no several tasks"):
        mixed.main(str(tmp_path))
