"""`peft-run` on every data set whose files are at hand, on the embedded backbone and on one with a head."""

import json
import sys

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from peft_cli.cli.run import main
from tests.conftest import make_tokenizer
from tests.data.loading import AT_HAND, SHARED, arguments

needs_files = pytest.mark.skipif(not SHARED.exists(), reason="needs the published files")
QUICK = ["method=pt", "method.length=4", "train.steps=1", "train.validate_every=null", "train.batch_size=1"]
QUICK += ["backbone.max_source_tokens=48", "decode.max_new_tokens=3", "decode.batch_size=64"]


@pytest.fixture
def peft_run(monkeypatch, tmp_path, capsys):
    def peft_run(*arguments: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["peft-run", f"runs={tmp_path}/runs", *QUICK, *arguments])
        main()
        (path,) = (tmp_path / "runs").glob("**/result.json")
        return json.loads(path.read_text()) | {"shown": capsys.readouterr().out, "folder": path.parent}

    return peft_run


@needs_files
@pytest.mark.parametrize("name", AT_HAND)
def test_peft_run_works_on_every_data_set(peft_run, name):
    shots = 0 if name == "scitail" else 16  # of which the test set alone is at hand
    is_class = AT_HAND[name][0].partition("/")[0] not in ("e2e", "webnlg", "dart", "xsum")
    metric = "accuracy" if is_class else "bleu"
    result = peft_run(*arguments(name), f"shots={shots}", "test_limit=20", f"data.metrics=[{metric}]")
    assert result["data"]["n_test"] == 20 and len(result["data"]["train_ids"]) == shots
    assert 0 <= result["scores"][metric] <= 100 and result["data"]["origin"] == "files"
    parts = {"webnlg": {"bleu_seen", "bleu_unseen"}, "webnlg2020": {"bleu_unseen_entities", "bleu_seen_categories"}}
    assert parts.get(name, set()) <= set(result["scores"])
    rows = [json.loads(line) for line in (result["folder"] / "predictions.jsonl").read_text().splitlines()]
    labels = result["config"]["data"].get("labels")
    assert labels is None or {row["prediction"] for row in rows} <= set(labels)


@needs_files
def test_long_articles_are_cut_and_counted(peft_run):
    keys = ["data.metrics=[rouge]", "decode=summary", "decode.max_new_tokens=3", "backbone.max_target_tokens=10"]
    result = peft_run(*arguments("xsum"), *keys, "test_limit=4", "shots=16")
    assert result["backbone"]["cut_train_sources"] == 16 and result["backbone"]["cut_train_targets"] > 10
    assert result["backbone"]["cut_test_sources"] == 4
    decode = result["config"]["decode"]
    assert (decode["beams"], decode["length_penalty"]) == (6, 0.8)


@needs_files
def test_lm_bffs_draw_of_a_seed_is_run(peft_run):
    root = f"data.root={SHARED / 'lm_bff_k_shot' / 'SST-2'}"
    result = peft_run("data=sst2", root, "data.split=lmbff", "data_seed=13", "shots=16", "test_limit=4")
    assert len(result["data"]["train_ids"]) == len(result["data"]["validation_ids"]) == 32
    assert result["data"]["train_ids"][0] == "16-13/train-0"


@pytest.fixture
def roberta(tmp_path) -> str:
    """The folder of a tiny RoBERTa with random weights."""
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=32, max_position_embeddings=66, hidden_size=16, num_hidden_layers=2,
                           num_attention_heads=2, intermediate_size=32, type_vocab_size=1, pad_token_id=1,
                           bos_token_id=0, eos_token_id=2)  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(tmp_path / "roberta")
    make_tokenizer("roberta").save_pretrained(tmp_path / "roberta")
    return str(tmp_path / "roberta")


def own_files(folder, rows: str) -> list[str]:
    (folder / "own.csv").write_text(f"source,target\n{rows}")
    return ["data=files", f"data.root={folder}", "data.train=own.csv", "data.test=own.csv"]


HEAD = 16 * 16 + 16  # the dense layer; the output layer has 17 weights for each class


@pytest.mark.parametrize(("keys", "n_out"), [("data.labels=[good,bad,food]", 3), ("data.scale=[0,5]", 1)])
def test_a_head_is_trained_counted_and_stored_with_the_method(peft_run, roberta, tmp_path, keys, n_out):
    targets = ("good", "bad", "food") if n_out == 3 else ("4.5", "0.5", "2.0")
    files = own_files(tmp_path, "".join(f"name : Alimentum {i},{target}\n" for i, target in enumerate(targets * 4)))
    keys = [*files, keys, "data.metrics=[accuracy]", "backbone=hub", f"backbone.name={roberta}", "shots=6"]
    result = peft_run(*keys)
    assert result["cost"]["params_trained"] == result["cost"]["params_stored"] == 4 * 16 + HEAD + 17 * n_out
    rows = [json.loads(line) for line in (result["folder"] / "predictions.jsonl").read_text().splitlines()]
    assert all(row["prediction"] in targets if n_out == 3 else float(row["prediction"]) < 9 for row in rows)


def test_skipped_lines_are_shown_and_stored(peft_run, tmp_path):
    files = own_files(tmp_path, "a,b\n,c\nd,e\nf\n")
    result = peft_run(*files, "data.skip_bad_lines=true", "shots=1", "data.metrics=[bleu]")
    assert result["data"]["skipped_lines"] == 4 and "4 bad lines of the data were left out" in result["shown"]
    assert "own.csv, line 3: the column source is empty" in " ".join(result["data"]["skipped"])
