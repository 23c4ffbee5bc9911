from random import Random

import pytest
import torch

from peft_cli.backbone import IGNORE
from peft_cli.pretrain import objectives
from peft_cli.pretrain.architectures import ARCHITECTURES, SENTINELS, build
from peft_cli.pretrain.objectives import OBJECTIVES, Rows, held_out_losses, summed_loss
from tests.pretrain.corpora import CORPUS, small_tokenizer

TEXT = "the old ship left the harbour at dawn and nobody on the shore waved back " * 4


@pytest.fixture(scope="module")
def tokenizers():
    return {name: small_tokenizer(name) for name in ARCHITECTURES}


@pytest.fixture(params=ARCHITECTURES)
def name(request) -> str:
    return request.param


@pytest.fixture
def rows(name, tokenizers) -> Rows:
    return Rows(ARCHITECTURES[name].objective, tokenizers[name], CORPUS)


def test_a_tokenizer_gives_back_what_it_read(name, tokenizers):
    tokenizer = tokenizers[name]
    text = "name : Velmora | price : $12"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert len(tokenizer) <= 4096


def test_a_row_is_a_function_of_its_number(rows):
    assert rows[7] == rows[7] != rows[8]


def test_every_row_has_something_to_learn_and_fits_the_model(name, rows):
    model = build(name)
    for i in range(12):
        ids, labels = rows[i]
        assert len(ids) <= 512 and len(labels) <= 512 and any(label != IGNORE for label in labels)
    with torch.no_grad():
        total, n = summed_loss(model, [rows[i] for i in range(3)])
    assert n > 0 and total / n < 12


def test_span_corruption_can_be_undone(tokenizers):
    tokenizer = tokenizers["tiny-t5"]
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    read, target = OBJECTIVES["spans"](tokenizer, Random(0), ids)
    marks = set(tokenizer.convert_tokens_to_ids(SENTINELS))
    hidden: dict[int, list[int]] = {}
    for token in target[:-1]:
        hidden.setdefault(token, []) if token in marks else hidden[list(hidden)[-1]].append(token)
    restored = [token for mark in read[:-1] for token in (hidden[mark] if mark in marks else [mark])]
    assert restored == ids and len(hidden) > 1


def test_infilling_hides_about_three_tenths_and_asks_for_the_whole_text(tokenizers):
    tokenizer = tokenizers["tiny-bart"]
    ids = tokenizer(TEXT * 10, add_special_tokens=False)["input_ids"]
    read, target = OBJECTIVES["infilling"](tokenizer, Random(0), ids)
    kept = sum(token != tokenizer.mask_token_id for token in read[1:-1])
    assert target == [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    assert 0.6 < kept / len(ids) < 0.8


def test_masking_scores_about_fifteen_percent_and_only_what_it_chose(tokenizers):
    tokenizer = tokenizers["tiny-roberta"]
    ids = tokenizer(TEXT * 10, add_special_tokens=False)["input_ids"]
    read, labels = OBJECTIVES["masked"](tokenizer, Random(0), ids)
    chosen = [label != IGNORE for label in labels[1:-1]]
    assert 0.1 < sum(chosen) / len(ids) < 0.2
    assert all(is_chosen or token == own for token, own, is_chosen in zip(read[1:-1], ids, chosen, strict=True))


def test_the_sources_of_pairs_are_read_and_not_scored(tokenizers):
    tokenizer = tokenizers["tiny-gpt2"]
    rows = Rows("causal", tokenizer, CORPUS)
    ids, labels = rows.filled(lambda: [("name : Velmora", "Velmora is a ship.")])
    scored = [token for token in labels if token != IGNORE]
    first = tokenizer(" Velmora is a ship.")["input_ids"] + [tokenizer.eos_token_id]
    assert scored[: len(first)] == first and len(ids) == len(labels)


def test_held_out_losses_cover_books_and_held_out_domains(name, rows, monkeypatch):
    monkeypatch.setattr(objectives, "HELD_OUT_ROWS", 1)
    losses = held_out_losses(build(name), rows)
    assert set(losses) == {"books", "bridge", "parcel", "pet"} and all(0 < value < 12 for value in losses.values())


def test_an_embedded_backbone_has_at_most_8_mb_of_weights_in_fp16(name):
    assert 2 * sum(p.numel() for p in build(name).parameters()) < 8e6
