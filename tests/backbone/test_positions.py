"""How many positions there are, and one sentence before training where they do not suffice."""

import pytest
import torch

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.data import Example
from peft_cli.method.prefix import Prefix
from peft_cli.method.pt import PT
from peft_cli.method.unipelt import UniPELT
from tests.conftest import CLASSES, CONFIGS, EXAMPLES, POSITIONS, make_backbone, make_tokenizer, noisy

LONG = Example("0", "name " * 1000, ("good",))


def sized(family: str, max_source_tokens: int = 24, max_target_tokens: int = 12, **config) -> Backbone:
    """A backbone with another configuration or other limits."""
    auto, make_config = CONFIGS[family]
    made = make_config()
    for key, value in config.items():
        setattr(made, key, value)
    torch.manual_seed(0)
    model = noisy(auto.from_config(made, attn_implementation=IMPLEMENTATION))
    labels = () if auto is not CONFIGS["roberta"][0] else ("good", "bad")
    return Backbone(model, make_tokenizer(family), labels, None, max_source_tokens, max_target_tokens)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_has_room_for_prompt_source_and_what_it_writes(family):
    backbone = make_backbone(family)
    PT(backbone, 30, "random", None, lr=0.1)
    longest = max(len(row.source) for row in backbone.encode(EXAMPLES))
    room = POSITIONS - 30 - longest
    backbone.check_lengths(EXAMPLES, room)
    with pytest.raises(
        ValueError, match=rf"max_new_tokens={room + 1} needs {POSITIONS + 1} positions .* has {POSITIONS};"
    ):
        backbone.check_lengths(EXAMPLES, room + 1)
    batch = backbone.batch(backbone.encode(EXAMPLES), training=False)
    assert backbone.generate(batch, num_beams=1, max_new_tokens=room, min_new_tokens=room).shape[1] == room


def test_the_decoder_of_an_encoder_decoder_has_room_for_what_it_writes_and_for_targets():
    backbone = sized("bart", max_target_tokens=300)
    backbone.check_lengths(EXAMPLES, POSITIONS)
    with pytest.raises(ValueError, match=rf"decode\.max_new_tokens={POSITIONS + 1} needs {POSITIONS + 1} positions"):
        backbone.check_lengths(EXAMPLES, POSITIONS + 1)
    long = [Example("0", "name", ("food " * 250,))]
    with pytest.raises(
        ValueError,
        match=rf"backbone\.max_target_tokens=300 lets a target have 252 tokens, .* has {POSITIONS} positions",
    ):
        backbone.check_lengths(long)
    fitting = sized("bart", max_target_tokens=POSITIONS)
    fitting.check_lengths(long)
    assert fitting.forward(fitting.batch(fitting.encode(long)))[0].isfinite().all()


def test_a_source_fits_in_what_a_method_has_room_for():
    backbone = make_backbone("t5")
    longest = max(len(row.source) for row in backbone.encode(EXAMPLES))
    backbone.source_room = longest, "method.positions"
    backbone.check_lengths(EXAMPLES)
    backbone.source_room = longest - 1, "method.positions"
    with pytest.raises(ValueError, match=rf"method\.positions={longest - 1} is too little .* has {longest} tokens"):
        backbone.check_lengths(EXAMPLES)


@pytest.mark.parametrize("family", ["gpt2", "bart", "roberta"])
def test_a_prompt_leaves_room_for_eight_tokens_of_a_source(family):
    most = POSITIONS - 8 - (12 if family == "gpt2" else 0)
    backbone = make_backbone(family)
    backbone.reserve(most)
    assert backbone.encoder.max_source_tokens == 8
    with pytest.raises(
        ValueError, match=f"{most + 1} positions in front leave 7 of the backbone's {POSITIONS} for a source"
    ):
        make_backbone(family).reserve(most + 1)


@pytest.mark.parametrize(("family", "moved"), [("gpt2", 5), ("bart", 0), ("roberta", 0)])
def test_positions_move_in_a_decoder_and_are_counted_in_every_family(family, moved):
    backbone = make_backbone(family)
    backbone.shift_positions(5)
    assert (backbone.positions_added, backbone.positions_in_front) == (5, moved)


def test_t5_reads_and_writes_any_length():
    backbone = sized("t5", max_source_tokens=1000, max_target_tokens=500)
    backbone.check_lengths([Example("0", "name " * 900, ("food " * 400,))], 10_000)


def test_a_head_writes_nothing():
    make_backbone("roberta").check_lengths(CLASSES, 10_000)


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_an_encoder_reads_as_much_as_there_are_positions_above_that_of_padding(pad):
    backbone = sized("roberta", max_source_tokens=10_000, pad_token_id=pad)
    (row,) = backbone.encode([LONG])
    assert len(row.source) == backbone.n_positions == POSITIONS + 2 - (pad + 1)
    assert backbone.forward(backbone.batch([row]))[0].isfinite().all()


@pytest.mark.parametrize(
    "make",
    [
        lambda b: Prefix(b, 3, None, "random", None, "front", False, 0.1),
        lambda b: Prefix(b, 3, None, "text", "name : Blue", "front", False, 0.1),
        lambda b: UniPELT(b, 3, None, 2, "output", 4, "relu", False, 0.1),
    ],
)
def test_encoder_and_decoder_may_have_unlike_numbers_of_heads(make):
    backbone = sized("bart", encoder_attention_heads=4, decoder_attention_heads=8)
    method = make(backbone)
    method.fold()
    shapes = {kind: stack.shape[2:] for kind, stack in method.stacks.items()}
    assert shapes == {"encoder": (4, 4), "decoder": (8, 2), "across": (8, 2)}
    batch = method.inputs(backbone.batch(backbone.encode(EXAMPLES)))
    assert backbone.forward(batch)[0].isfinite().all()
