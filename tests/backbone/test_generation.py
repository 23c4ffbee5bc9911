"""Beam search that reads each source once, against transformers' own."""

import pytest
import torch

from peft_cli.method.prefix import Prefix
from peft_cli.method.pt import PT
from tests.conftest import EXAMPLES, make_backbone

BEAMS = {"num_beams": 3, "max_new_tokens": 6, "min_new_tokens": 2, "length_penalty": 1.0, "early_stopping": False}


def infix(backbone):
    return Prefix(backbone, 3, None, "random", None, "between", shift_positions=True, lr=0.1)


def prompt(backbone):
    return PT(backbone, 3, "random", None, lr=0.1)


@pytest.mark.parametrize("make", [infix, prompt])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_tokens_are_those_of_reading_each_source_for_each_beam(family, make):
    backbone = make_backbone(family)
    torch.manual_seed(0)
    method = make(backbone)
    read = []
    block = backbone.blocks()["decoder"][0].module
    with torch.no_grad():
        inputs = method.inputs(backbone.batch(backbone.encode(EXAMPLES), training=False))
        backbone.activate(inputs.prompt)
        plain = (backbone.embed(inputs) if make is infix else inputs).model_inputs()
        expected = backbone.model.generate(**plain, do_sample=False, **BEAMS)
    block.register_forward_pre_hook(lambda _, args: read.append(tuple(args[0].shape[:2])))
    assert torch.equal(backbone.generate(inputs, **BEAMS), expected)
    length = plain["attention_mask"].shape[1]
    assert (len(EXAMPLES), length) in read and (3 * len(EXAMPLES), length) not in read
