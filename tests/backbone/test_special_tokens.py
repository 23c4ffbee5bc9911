"""Special tokens from every file that names them: what ends a text, what starts one, what pads."""

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig

from peft_cli.backbone import Backbone
from peft_cli.data import Example
from peft_cli.method.pt import PT
from tests.conftest import CONFIGS, EXAMPLES, V, make_backbone, make_tokenizer

WRITERS = ["gpt2", "llama", "bart", "t5"]
EOS = 2  # of the tests' tokenizer
GREEDY = {"num_beams": 1, "max_new_tokens": 5}


def remade(family: str, tokenizer=None, generation: GenerationConfig | None = None, **config) -> Backbone:
    """A backbone whose configuration, generation configuration or tokenizer is another."""
    model = make_backbone(family).model
    model.generation_config = generation or GenerationConfig()
    for key, value in config.items():
        setattr(model.config, key, value)
    return Backbone(model, tokenizer or make_tokenizer(family), max_source_tokens=24, max_target_tokens=12)


def write(backbone: Backbone, token: int, **options) -> tuple[int, str]:
    """How many tokens are written, and the text, where the most likely token is always `token`."""

    def prefer(module, args, logits):
        logits[..., token] += 1e4
        return logits

    handle = backbone.model.get_output_embeddings().register_forward_hook(prefer)
    batch = backbone.batch(backbone.encode(EXAMPLES[1:2]), training=False)
    ids = backbone.generate(batch, **GREEDY | options)
    handle.remove()
    return ids.shape[1] - backbone.config.is_encoder_decoder, backbone.decode(ids)[0]


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("own", [None, 7, [7, 8]])
def test_writing_stops_at_every_end_token_and_targets_end_with_the_tokenizers(family, own):
    backbone = remade(family, generation=GenerationConfig(eos_token_id=9), eos_token_id=own)
    named = [own] if isinstance(own, int) else own or []
    assert {token: write(backbone, token) for token in (EOS, 9, *named)} == dict.fromkeys((EOS, 9, *named), (1, ""))
    assert write(backbone, 10) == (5, " ".join(5 * [backbone.tokenizer.decode([10])]))
    assert write(backbone, 9, min_new_tokens=3)[0] > 1
    assert [row.target[-1] for row in backbone.encode(EXAMPLES)] == 3 * [EOS]
    assert write(backbone, 9, num_beams=2, length_penalty=9.0)[1] == ""


def with_template(family: str, template: str | None):
    tokenizer = make_tokenizer("gpt2")  # which puts nothing around a text
    tokenizer.pad_token, tokenizer.truncation_side = "<pad>", "left"
    if template:
        special = [("<s>", 0), ("</s>", EOS)]
        tokenizer._tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


@pytest.mark.parametrize("family", ["bart", "t5"])
@pytest.mark.parametrize("template", [None, "<s> $A", "$A </s>", "<s> $A </s>"])
def test_a_target_ends_with_one_end_token_whatever_the_tokenizer_puts_around_it(family, template):
    backbone = remade(family, with_template(family, template))
    ids = backbone.encoder.ids
    start = [0] if template and template.startswith("<s>") else []
    whole, cut = backbone.encode([EXAMPLES[1], Example("1", "name " * 40, ("a great place in " * 9,))])
    assert whole.target == [*start, *ids(EXAMPLES[1].references[0]), EOS] and not whole.is_target_cut
    assert cut.target[:-1] == [*start, *ids("a great place in " * 9)][:11] and cut.target[-1] == EOS
    assert cut.is_target_cut


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart", "t5"])
def test_what_is_too_long_loses_its_end_though_the_checkpoint_cuts_the_beginning(family):
    tokenizer = make_tokenizer(family)
    tokenizer.truncation_side = "left"
    backbone = remade(family, tokenizer)
    (row,) = backbone.encode([Example("0", "name : Blue " + "food " * 40, ("The Blue " + "food " * 40,))])
    source, target = (backbone.tokenizer.decode(ids, skip_special_tokens=True) for ids in (row.source, row.target))
    assert source.startswith("name : Blue food") and target.startswith("The Blue food")
    assert row.is_cut and row.is_target_cut and row.target[-1] == EOS


def test_a_decoder_without_a_start_token_begins_with_its_source():
    tokenizer = make_tokenizer("gpt2")
    tokenizer.bos_token = None
    backbone = remade("llama", tokenizer)
    method = PT(backbone, 3, "random", None, lr=0.1)
    rows = backbone.encode(EXAMPLES)
    assert [row.source[0] for row in rows] == [backbone.encoder.ids(example.source)[0] for example in EXAMPLES]
    assert len(backbone.predict(method.inputs(backbone.batch(rows, training=False)), **GREEDY)) == len(EXAMPLES)


@pytest.mark.parametrize("family", WRITERS)
def test_a_padding_token_outside_the_embedding_is_not_used(family):
    tokenizer = make_tokenizer(family)
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    while len(tokenizer) <= V:
        tokenizer.add_special_tokens({"pad_token": f"<new{len(tokenizer)}>"})
    assert tokenizer.pad_token_id >= V
    backbone, plain = remade(family, tokenizer), make_backbone(family)
    rows = plain.encode(EXAMPLES)
    with torch.no_grad():
        logits = [own.forward(own.batch(rows))[0] for own in (backbone, plain)]
    assert backbone.pad < V and torch.allclose(*logits, atol=1e-6)
    inputs = backbone.batch(rows, training=False)
    assert len(backbone.predict(inputs, **GREEDY)) == 3
    assert len(backbone.predict(inputs, **GREEDY | {"num_beams": 2})) == 3


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_the_start_of_a_target_is_read_from_either_configuration(family):
    start = make_backbone(family).config.decoder_start_token_id
    backbone = remade(family, generation=GenerationConfig(decoder_start_token_id=start), decoder_start_token_id=None)
    rows, plain = backbone.encode(EXAMPLES), make_backbone(family)
    with torch.no_grad():
        assert torch.equal(*(own.forward(own.batch(rows))[0] for own in (backbone, plain)))
    texts = [own.predict(own.batch(rows, training=False), **GREEDY) for own in (backbone, plain)]
    assert texts[0] == texts[1]


def test_an_encoder_decoder_without_a_start_is_refused():
    with pytest.raises(ValueError, match="t5 has no decoder_start_token_id in its configuration"):
        remade("t5", decoder_start_token_id=None)
    assert CONFIGS["t5"][1]().decoder_start_token_id == 1
