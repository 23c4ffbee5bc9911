import json

from peft_cli.data.reading.superglue import multirc, wsc
from tests.data.loading import load_data


def test_multirc_has_a_row_for_each_answer():
    question = {"question": "Who?", "answers": [{"text": "Ann", "label": 1}, {"text": "Bob", "label": 0}]}
    passage = {"text": "<b>Sent 1: </b>Ann came.<br><b>Sent 2: </b>Bob left.", "questions": [question] * 2}
    rows = list(multirc({"idx": 0, "passage": passage}))
    assert len(rows) == 4
    assert rows[1] == {
        "paragraph": "Sent 1: Ann came. Sent 2: Bob left.",
        "question": "Who?",
        "answer": "Bob",
        "label": 0,
    }
    assert list(multirc(rows[0] | {"paragraph": "<b>A"})) == [rows[0] | {"paragraph": "A"}]  # as on the hub


def test_wsc_marks_the_noun_and_the_pronoun():
    # the example of T5's own preprocessor, where the pronoun comes first
    spans = {"span1_text": "test", "span1_index": 3, "span2_text": "This", "span2_index": 0}
    (row,) = wsc({"text": "This is a test sentence .", "target": spans, "label": False})
    assert row["text"] == "# This # is a * test * sentence ." and row["label"] is False
    (row,) = wsc({"text": "The big dog saw it .", "span1_text": "The big dog", "span1_index": 0,
                  "span2_text": "it", "span2_index": 4})  # fmt: skip
    assert row["text"] == "* The big dog * saw # it # ."


def test_both_load_from_files_as_published(tmp_path):
    spans = {"span1_text": "dog", "span1_index": 1, "span2_text": "it", "span2_index": 3}
    one = {"text": "The dog saw it", "target": spans, "idx": 0, "label": True}
    question = {"question": "Who?", "answers": [{"text": "Ann", "label": 1}]}
    two = {"idx": 0, "passage": {"text": "Ann came.", "questions": [question] * 2}}
    for name, row, source in (
        ("wsc", one, "text: The * dog * saw # it #"),
        ("multirc", two, "question: Who? answer: Ann paragraph: Ann came."),
    ):
        for file in ("train.jsonl", "val.jsonl"):
            (tmp_path / file).write_text(2 * f"{json.dumps(row)}\n")
        data = load_data(f"data={name}", f"data.root={tmp_path}", "data.rows=null")
        assert (data.train[0].source, data.train[0].references) == (source, ("yes",))
