import contextlib
import json
from unittest import mock

import torch

from peft_cli.backbone.loading import load_backbone
from peft_cli.pretrain import __main__ as command
from peft_cli.pretrain import architectures, objectives, training
from peft_cli.pretrain.architectures import build
from peft_cli.pretrain.objectives import Rows
from peft_cli.pretrain.training import make_optimizers, train, trapezoid
from tests.pretrain.corpora import BOOKS, CORPUS, WORDS, small_tokenizer


def make():
    torch.manual_seed(0)
    name = "tiny-gpt2"
    model = build(name)
    return model, make_optimizers(model, table_lr=4e-3), Rows("causal", small_tokenizer(name), CORPUS)


def four_steps(workers=0):
    return {"tokens": 2048, "batch_positions": 512, "workers": workers}


def test_a_resumed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole, optimizers, rows = make()
    log = train(whole, optimizers, rows, **four_steps(), checkpoint=tmp_path / "none.pt")
    assert log[-1]["step"] == 4
    first, optimizers, rows = make()
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # after every step
    seen = []

    class TwoRows:
        def __getitem__(self, i):
            seen.append(i)
            if len(seen) > 2:
                raise KeyboardInterrupt
            return rows[i]

    with contextlib.suppress(KeyboardInterrupt):
        train(first, optimizers, TwoRows(), **four_steps(), checkpoint=tmp_path / "checkpoint.pt")
    resumed, optimizers, rows = make()
    train(resumed, optimizers, rows, **four_steps(workers=1), checkpoint=tmp_path / "checkpoint.pt")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_rate_rises_stays_and_falls():
    rates = [trapezoid(step, 100) for step in range(100)]
    assert rates[0] == 0.5 and rates[50] == 1.0 and 0 < rates[-1] < 0.05


def test_the_command_writes_a_backbone_that_loads_and_can_be_evaluated(tmp_path, monkeypatch, capsys):
    corpus = tmp_path / "books.txt"
    words = [word + ending for word in WORDS for ending in "abcdef"]
    corpus.write_text("\n".join([*BOOKS, *(" ".join(words[i : i + 20]) for i in range(0, len(words), 20))]))
    arguments = ["backbone=tiny-t5", f"corpus={corpus}", f"out={tmp_path / 'out'}", "tokens=9000", "threads=1"]
    monkeypatch.setattr("sys.argv", ["pretrain", *arguments])
    small = {"TOKENIZER_PARAGRAPHS": 100, "TOKENIZER_DOCUMENTS": 200}
    with mock.patch.multiple(architectures, **small), mock.patch.object(objectives, "HELD_OUT_ROWS", 1):
        command.main()
        monkeypatch.setattr("sys.argv", ["pretrain", *arguments, "evaluate=true"])
        command.main()
    backbone = load_backbone(str(tmp_path / "out"), device="cpu", max_source_tokens=64, max_target_tokens=16)
    card = (tmp_path / "out" / "README.md").read_text()
    assert backbone.config.model_type == "t5" and "perplexity" in card and (tmp_path / "out" / "curve.png").exists()
    assert not (tmp_path / "out" / "checkpoint.pt").exists()
    printed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines() if " nats " in line)
    written = json.loads((tmp_path / "out" / "log.json").read_text())["held_out"]
    assert all(abs(float(printed[key]) - written[key]) < 0.02 for key in written)  # fp16 on disk


def test_wrong_options_are_one_sentence(monkeypatch, capsys):
    for arguments, sentence in (
        (["backbone=tiny-gpt3", "corpus=x"], "backbone=tiny-gpt3 is none of tiny-gpt2"),
        (["corpus=/no/such"], "corpus=/no/such is no file"),
        (["steps=5", "corpus=x"], "there is no steps; there are backbone"),
        ([], "a corpus is needed"),
        (["corpus=x", "evaluate=true", "out=/no/such"], "backbone=tiny-gpt2 has no model in /no/such"),
    ):
        monkeypatch.setattr("sys.argv", ["pretrain", *arguments])
        try:
            command.main()
        except SystemExit as stop:
            assert stop.code == 2
        assert sentence in capsys.readouterr().err
