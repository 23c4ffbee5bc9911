"""Examples to ids with the real vocabularies, where they are at hand, and with a tokenizer of the tests' own."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from peft_cli.backbone import IGNORE
from peft_cli.backbone.batch import collate, pad_rows
from peft_cli.backbone.families import FAMILIES
from peft_cli.backbone.tokenization import Encoder, round_number
from peft_cli.data import Example
from tests.conftest import EXAMPLES, POSITIONS, make_backbone, make_tokenizer

TOKENIZERS = Path(__file__).parents[3] / "shared" / "tokenizers"
needs_tokenizers = pytest.mark.skipif(not TOKENIZERS.exists(), reason="needs the real vocabularies")
PAIR = Example("0", "name : Alimentum | area : city centre", ("Alimentum is in the city centre.",))


def real_encoder(name: str, **options) -> Encoder:
    options = {"separator": None, "max_source_tokens": 64, "max_target_tokens": 32} | options
    return Encoder(AutoTokenizer.from_pretrained(TOKENIZERS / name), FAMILIES[name], **options)


@needs_tokenizers
def test_gpt2_has_no_token_across_the_seam():
    encoder = real_encoder("gpt2")
    row, decode = encoder(PAIR), encoder.tokenizer.decode
    assert decode(row.source) == PAIR.source + "<|endoftext|>"
    assert decode(row.target) == " " + PAIR.references[0] + "<|endoftext|>"


@needs_tokenizers
@pytest.mark.parametrize(("name", "source", "target"), [("t5", "{}</s>", "{}</s>"), ("bart", "<s>{}</s>", "<s>{}</s>")])
def test_an_encoder_decoder_gets_its_own_special_tokens(name, source, target):
    encoder = real_encoder(name)
    row = encoder(PAIR)
    assert encoder.tokenizer.decode(row.source).replace(" </s>", "</s>") == source.format(PAIR.source)
    assert encoder.tokenizer.decode(row.target).replace(" </s>", "</s>") == target.format(PAIR.references[0])


@needs_tokenizers
@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_a_long_source_loses_its_end_and_a_long_target_keeps_its_end_token(name):
    encoder = real_encoder(name, max_source_tokens=10, max_target_tokens=6)
    row = encoder(Example("0", "word " * 50, ("text " * 50,)))
    whole = encoder(Example("1", "word", ("text",)))
    assert (len(row.source), row.is_cut, whole.is_cut) == (10, True, False)
    assert len(row.target) == 6 and row.target[-1] == encoder.tokenizer.eos_token_id
    assert row.source[-1] == whole.source[-1]


def test_a_decoder_scores_the_end_token_even_where_it_also_pads():
    backbone = make_backbone("gpt2")
    rows = backbone.encode(EXAMPLES)
    labels = backbone.batch(rows).labels
    assert backbone.pad == backbone.tokenizer.eos_token_id
    assert [row[row != IGNORE].tolist() for row in labels] == [row.target for row in rows]


def test_a_decoder_is_padded_left_to_write_and_right_to_learn():
    backbone = make_backbone("gpt2")
    rows = backbone.encode(EXAMPLES)
    learns, writes = (backbone.batch(rows, training).attention_mask for training in (True, False))
    assert learns[1, 0] == 1 and learns[1, -1] == 0
    assert writes[1, 0] == 0 and writes[1, -1] == 1


@pytest.mark.parametrize("family", ["bart", "t5", "roberta"])
def test_an_encoder_is_always_padded_right(family):
    backbone = make_backbone(family)
    rows = backbone.encode([Example("0", "a b", ("good",)), Example("1", "a b c d e", ("good",))])
    assert backbone.batch(rows, training=False).attention_mask[0].tolist()[0] == 1


def test_pad_rows_fills_up_with_the_pad():
    ids, mask = pad_rows([[5], [6, 7]], pad=9, left=True)
    assert ids.tolist() == [[9, 5], [6, 7]] and mask.tolist() == [[0, 1], [1, 1]]


def test_a_separator_is_for_decoders():
    with pytest.raises(ValueError, match="is for decoders"):
        Encoder(make_tokenizer("t5"), FAMILIES["t5"], " => ", 10, 10)


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="'ugly' is none of the classes good, bad"):
        make_backbone("roberta").encode([Example("0", "a", ("ugly",))])


def test_collate_gives_classes_as_one_number_a_row():
    backbone = make_backbone("roberta")
    rows = backbone.encode([Example("0", "a b", ("bad",)), Example("1", "a", ("good",))])
    assert torch.equal(collate(rows, backbone.family, 1, training=True).labels, torch.tensor([1, 0]))


def test_an_example_is_tokenised_once_for_each_limit():
    encoder = make_backbone("gpt2").encoder
    first, again = encoder(EXAMPLES[2]), encoder(EXAMPLES[2])
    encoder.max_source_tokens = 5
    assert first is again and not first.is_cut and encoder(EXAMPLES[2]).is_cut


@pytest.mark.parametrize(("number", "written"), [("3.75", "3.8"), ("5.000", "5.0"), ("0", "0.0"), ("2.09", "2.0")])
def test_a_number_is_written_to_the_nearest_fifth(number, written):
    # as T5 does, https://github.com/google-research/text-to-text-transfer-transformer, preprocessors.stsb
    assert round_number(number) == written


def test_a_cut_target_is_told():
    for family in ("gpt2", "t5", "bart"):
        encoder = make_backbone(family).encoder
        encoder.max_target_tokens = 5
        rows = [encoder(Example("0", "name", (text,))) for text in ("good food", "a great place in area and food")]
        assert [row.is_target_cut for row in rows] == [False, True] and len(rows[1].target) == 5
        assert not encoder(Example("1", "name", ("a great place in"[: 16 if family == "gpt2" else 13],))).is_target_cut


@pytest.mark.parametrize("family", ["gpt2", "bart", "roberta"])
def test_a_source_longer_than_the_backbones_positions_is_cut_and_still_read(family):
    backbone = make_backbone(family)
    backbone.encoder.max_source_tokens = 10_000
    backbone.reserve(4)
    long = Example("0", "name " * 1000, ("good",))
    (row,) = backbone.encode([long])
    room = POSITIONS - 4 - (12 if family == "gpt2" else 0)
    assert row.is_cut and len(row.source) == room
    assert backbone.forward(backbone.batch([row]))[0].isfinite().all()
