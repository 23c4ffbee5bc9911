"""A user's own files, from the command's keys to examples."""

import json

import pytest

from peft_cli.data import few_shot
from tests.data.loading import load_data


@pytest.fixture
def load(tmp_path):
    def load(files: dict[str, str], *keys: str):
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        names = {name.partition(".")[0]: name for name in files}
        given = [f"data.{split}={name}" for split, name in names.items()]
        return load_data("data=files", f"data.root={tmp_path}", *given, *keys)

    return load


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_own_csv_files_are_read_by_their_columns(load):
    text = 'question,answer\n"What, now?","He said ""no"".\nTwice."\nWho?,Ann\n'
    data = load({"train.csv": text, "test.csv": text}, "data.source=question", "data.target=answer")
    assert [(e.id, e.source, e.references) for e in data.train] == [
        ("train-0", "What, now?", ('He said "no".\nTwice.',)),
        ("train-1", "Who?", ("Ann",)),
    ]
    assert data.validation == [] and data.protocol == "plain" and data.notes["origin"] == "files"


def test_several_targets_train_apart_and_judge_together(load):
    rows = [{"source": "a", "target": ["b", "c"]}, {"source": "d", "target": "e"}, {"source": "a", "target": "f"}]
    data = load({"train.jsonl": lines(*rows), "test.jsonl": lines(*rows)})
    assert [(e.source, e.references) for e in data.train] == [
        ("a", ("b",)),
        ("a", ("c",)),
        ("d", ("e",)),
        ("a", ("f",)),
    ]
    assert [(e.source, e.references) for e in data.test] == [("a", ("b", "c", "f")), ("d", ("e",))]


def test_a_template_puts_columns_together(load):
    text = "one\ttwo\tlabel\nA cat\tA dog\t1\nA cat\tA cat\t0\n"
    keys = "data.source='first: {one} second: {two}'", "data.target=label", "data.labels=[same,other]"
    data = load({"train.tsv": text, "test.tsv": text}, *keys, 'data.classes=["0","1"]')
    assert [(e.source, e.references) for e in data.test] == [
        ("first: A cat second: A dog", ("other",)),
        ("first: A cat second: A cat", ("same",)),
    ]
    assert data.labels == ("same", "other")


def test_classes_that_share_a_source_stay_apart(load):
    text = lines({"source": "a", "target": "x"}, {"source": "a", "target": "y"})
    assert len(load({"train.jsonl": text, "test.jsonl": text}, "data.labels=[x,y]").test) == 2


def test_numbers_lie_on_their_scale(load):
    text = "source,target\na,4.5\n"
    assert load({"train.csv": text, "test.csv": text}, "data.scale=[0,5]").scale == (0, 5)
    with pytest.raises(ValueError, match=r"test\.csv, line 2: 7 is not between 0 and 5"):
        load({"train.csv": text, "test.csv": "source,target\na,7\n"}, "data.scale=[0,5]")


BAD = [
    ({"a": "x", "target": "y"}, [], "line 2: no column source; there are a, target"),
    ({"source": " ", "target": "y"}, [], "line 2: the column source is empty"),
    ({"source": "x", "target": None}, [], "line 2: the column target is empty"),
    ({"source": "x", "target": []}, [], "line 2: the column target is empty"),
    ({"source": "x", "target": "z"}, ["data.labels=[y,n]"], "line 2: 'z' is none of the classes y, n"),
]


@pytest.mark.parametrize(("row", "keys", "sentence"), BAD)
def test_a_line_that_is_no_example_is_one_sentence_with_file_and_line(load, tmp_path, row, keys, sentence):
    good = {"source": "x", "target": "y"}
    files = {"train.jsonl": lines(good, row), "test.jsonl": lines(good)}
    with pytest.raises(ValueError) as error:
        load(files, *keys)
    told = str(error.value)
    assert f"{tmp_path}/train.jsonl, {sentence}; " in told and "data.skip_bad_lines=true" in told and "\n" not in told
    data = load(files, *keys, "data.skip_bad_lines=true")
    assert len(data.train) == 1 and data.notes["skipped_lines"] == 1 and sentence in data.notes["skipped"][0]


@pytest.mark.parametrize(
    ("files", "keys", "sentence"),
    [
        ({"train.txt": "a b", "test.csv": "source,target\n"}, [], r"data\.train=train\.txt has to be a \.jsonl, \.csv"),
        ({"train.csv": "source,target\na,b\n"}, ["data.test=no.csv"], r"has no no\.csv; say data\.root="),
        ({"train.csv": "source,target\na,b\n", "test.csv": "source,target\n"}, [], "needs labelled test examples"),
        ({"train.csv": "a", "test.csv": "a"}, ["data.source='{a'"], "is no column and no template such as"),
        ({"train.csv": "a", "test.csv": "a"}, ["data.labels=[a,b]", "data.classes=[x,y,z]"], "has 2 texts for the 3"),
        ({"train.csv": "source,target\na,b\n", "test.csv": "source,target\na,b\n"}, ["data.rows={train: 3}"],
         r"has 1 rows of train where the official data has 3; get it again, or say data\.rows=null"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_sentence(load, files, keys, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(files, *keys)


def test_a_test_set_alone_scores_the_untouched_backbone(load):
    data = load({"test.csv": "source,target\na,b\n"}, "data.train=null")
    assert len(few_shot(data, 0, 0, None).test) == 1
    for shots, said in ((3, "3"), (None, "null")):
        with pytest.raises(ValueError, match=f"shots={said} asks for more than the 0 training examples there are"):
            few_shot(data, shots, 0, None)
