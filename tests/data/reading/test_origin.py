"""Files or the hub: what is read where, and what is said where neither is at hand. The hub is a folder here."""

import socket
import time

import pytest
from datasets import Dataset

from peft_cli.config import hub
from tests.data.loading import load_data


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """A hub that takes connections and never answers, and an empty cache."""
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(hub, "SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        hub.is_reachable.cache_clear()
        yield
    hub.is_reachable.cache_clear()


def publish(folder, **splits: list[dict]) -> None:
    """A data set in a folder, as it lies on the hub."""
    for split, rows in splits.items():
        (folder / split).mkdir(parents=True)
        Dataset.from_list(rows).to_parquet(folder / split / "0000.parquet")


NAMED = [
    ("e2e", "trainset.csv, devset.csv, testset_w_refs.csv", "tuetschek/e2e_nlg", "https://github.com/tuetschek"),
    ("webnlg", "train.json, dev.json, test.json", "webnlg-challenge/web_nlg", "https://github.com/XiangLi1999"),
    ("webnlg2020", "train/1triples/Airport_allSolutions.xml", "webnlg-challenge/web_nlg", "https://gitlab.com/shim"),
    ("dart", "dart-v1.1.1-full-train.json, dart", "Yale-LILY/dart", "https://github.com/Yale-LILY/dart"),
    (
        "xsum",
        "train.jsonl, validation.jsonl, test.jsonl",
        "EdinburghNLP/xsum",
        "https://huggingface.co/datasets/EdinburghNLP/xsum",
    ),
    ("cola", "train.tsv, dev.tsv", "nyu-mll/glue", "https://gluebenchmark.com/tasks"),
    ("boolq", "train.jsonl, val.jsonl", "aps/super_glue", "https://super.gluebenchmark.com/tasks"),
]


@pytest.mark.parametrize(("name", "files", "path", "where"), NAMED)
def test_without_files_and_hub_one_sentence_says_what_to_put_where(unreachable, tmp_path, name, files, path, where):
    start = time.perf_counter()
    with pytest.raises(ValueError) as error:
        load_data(f"data={name}", f"data.root={tmp_path}")
    told = str(error.value)
    assert f"data.root={tmp_path} has no {files}" in told and "and say data.root=<their folder>" in told
    assert f"which has {path}, cannot be reached" in told and f"get the files from {where}" in told and "\n" not in told
    assert time.perf_counter() - start < 10


def test_a_set_that_the_hub_has_not_says_where_to_get_the_files(tmp_path):
    with pytest.raises(ValueError, match=r"has no rt-polarity\.all; get the files from https://github\.com/harvardnlp"):
        load_data("data=mr", f"data.root={tmp_path}")


def test_a_part_of_the_files_is_not_filled_up_from_the_hub(tmp_path):
    (tmp_path / "train.tsv").write_text("sentence\tlabel\nfine\t1\n")
    with pytest.raises(ValueError, match=r"has no dev\.tsv; get the files from https://gluebenchmark"):
        load_data("data=sst2", f"data.root={tmp_path}")


def test_the_hubs_rows_are_the_same_data_set(tmp_path):
    rows = [{"meaning_representation": "name[A]", "human_reference": text} for text in "BC"]
    publish(tmp_path / "hub", train=rows, validation=rows, test=rows)
    keys = f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, data_dir: .}}"
    data = load_data("data=e2e", *keys, "data.rows={train: 2, validation: 2, test: 2}")
    assert [e.references for e in data.train] == [("B",), ("C",)] and data.test[0].references == ("B", "C")
    assert data.notes["origin"] == f"{tmp_path / 'hub'} ."
    with pytest.raises(ValueError, match="has 2 rows of train where the official data has 42061"):
        load_data("data=e2e", *keys)


def test_the_hubs_class_numbers_are_the_files_classes(tmp_path):
    rows = [{"sentence1": "a", "sentence2": "b", "label": i % 2, "idx": i} for i in range(4)]
    publish(tmp_path / "hub", train=rows, validation=rows)
    keys = f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, name: default}}"
    data = load_data("data=rte", *keys, "data.rows={train: 4, validation: 4}")
    assert [e.references[0] for e in data.train] == ["entailment", "contradiction"] * 2
    assert [len(data.validation), len(data.test)] == [2, 2]


def test_the_hubs_numbers_lose_what_single_precision_adds(tmp_path):
    rows = [{"sentence1": "a", "sentence2": "b", "label": 3.799999952316284}] * 2
    publish(tmp_path / "hub", train=rows, validation=rows)
    keys = f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, name: default}}"
    assert load_data("data=stsb", *keys, "data.rows=null").train[0].references == ("3.8",)


def test_the_hubs_webnlg_has_rows_of_three_test_files(tmp_path):
    def row(category: str, test: str, texts: list[str]) -> dict:
        return {
            "category": category, "test_category": test,
            "modified_triple_sets": {"mtriple_set": [["A | b | C", "A | d | E"]]},
            "lex": {"comment": ["good", "toFix"][: len(texts)], "text": texts},
        }  # fmt: skip

    train = [row("Airport", "", ["One.", "Two."])]
    test = [row(name, "testdata_with_lex", ["One."]) for name in ("Airport", "Artist")]
    more = [row("Airport", "testdata_no_lex", []), row("Artist", "testdata_unseen_with_lex", ["One."])]
    publish(tmp_path / "hub", train=train, dev=train, test=more[:1] + test + more[1:])
    keys = f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, data_dir: .}}"
    data = load_data("data=webnlg", *keys, "data.rows=null")
    assert [(e.source, e.references) for e in data.train] == [("| A : b : C | A : d : E", ("One.",))]
    assert [e.subset for e in data.test] == ["seen", "unseen"]


def test_the_hubs_dart_has_a_list_for_each_field(tmp_path):
    rows = [{"tripleset": [["A", "B_C", "D"]], "annotations": {"source": ["x", "y"], "text": ["One.", "Two."]}}]
    publish(tmp_path / "hub", train=rows, validation=rows, test=rows)
    keys = f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, data_dir: .}}"
    data = load_data("data=dart", *keys, "data.rows=null")
    assert data.train[1].source == "A : b_c : D" and data.test[0].references == ("One.", "Two.")


def test_a_split_that_the_hub_has_not_is_named(tmp_path):
    publish(tmp_path / "hub", train=[{"sentence": "a", "label": 1}])
    with pytest.raises(ValueError, match="has no split validation on the Hugging Face hub; it has train"):
        load_data("data=cola", f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}, name: default}}")


def test_what_the_hub_cannot_give_is_one_sentence(tmp_path):
    (tmp_path / "hub").mkdir()
    with pytest.raises(ValueError, match="cannot be had from the Hugging Face hub"):
        load_data("data=e2e", f"data.root={tmp_path}", f"data.hub={{path: {tmp_path / 'hub'}}}")
