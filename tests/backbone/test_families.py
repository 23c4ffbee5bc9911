"""Every family of families.yaml, on a tiny random configuration: its parts are what the row calls them."""

import pytest
import torch
import torch.nn.functional as F

from peft_cli.backbone.attention import attend
from peft_cli.backbone.families import FAMILIES
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.train import batch_loss
from tests.conftest import examples_for
from tests.families import CONFIGS, make_family, make_model

every = pytest.mark.parametrize("name", list(FAMILIES))
GREEDY = {"num_beams": 1, "max_new_tokens": 6, "min_new_tokens": 6}


def test_every_row_is_tested():
    assert set(CONFIGS) == set(FAMILIES)


def batch_of(backbone, training=True):
    return backbone.batch(backbone.encode(examples_for(backbone)), training)


@every
def test_logits_are_those_of_transformers(name):
    backbone, plain = make_family(name), make_model(name, "eager")
    batch = batch_of(backbone)
    with torch.no_grad():
        logits, targets = backbone.forward(batch)
        if backbone.family.generates:
            inputs, labels = backbone.prepare_inputs(batch)
            expected = plain(**inputs).logits[labels != -100]
        else:
            expected = plain(**batch.model_inputs()).logits
        embedded = backbone.forward(backbone.embed(batch))[0]
    assert torch.allclose(logits, expected, atol=1e-4)
    assert torch.allclose(embedded, logits, atol=1e-4)
    assert len(targets) == len(logits)


@every
def test_a_prompt_of_token_embeddings_is_those_tokens_in_front(name):
    backbone, ids = make_family(name), torch.tensor([9, 10, 11])
    batch, at = batch_of(backbone), backbone.family.prompt_at
    with torch.no_grad():
        soft = backbone.prepend(backbone.embed(batch), backbone.embedding(ids))
        rows = ids.expand(len(batch), -1)
        hard = batch.with_(
            input_ids=torch.cat([batch.ids[:, :at], rows, batch.ids[:, at:]], 1),
            attention_mask=F.pad(batch.attention_mask, (3, 0), value=1),
        )
        if backbone.family.is_decoder_only:
            hard = hard.with_(labels=F.pad(batch.labels, (3, 0), value=-100))
        assert torch.allclose(backbone.forward(soft)[0], backbone.forward(hard)[0], atol=1e-4)


@every
def test_query_key_and_value_are_what_they_are_called(name):
    """With queries of zero, keys change nothing and values do."""
    with torch.no_grad():
        backbone = make_family(name)
        for linear in backbone.linears("query"):
            linear.change(lambda x, y: torch.zeros_like(y))
        batch = batch_of(backbone)
        before = backbone.forward(batch)[0]
        factor = torch.ones(())
        for linear in backbone.linears("key"):
            linear.change(lambda x, y: y * factor)
        factor.fill_(3.0)
        assert torch.allclose(backbone.forward(batch)[0], before, atol=1e-4)
        for linear in backbone.linears("value"):
            linear.change(lambda x, y: y * torch.arange(y.shape[-1]))
        assert not torch.allclose(backbone.forward(batch)[0], before, atol=1e-3)


@every
def test_every_block_and_feed_forward_is_found(name):
    backbone = make_family(name)
    n_blocks = len(backbone.all_blocks())
    stacks = len(backbone.family.stacks)
    assert n_blocks == 2 * stacks == len(backbone.feed_forwards()) == len(backbone.linears("ffn_output"))
    assert len(backbone.linears("attention_output")) == (6 if stacks == 2 else 2)


@every
def test_a_method_trains_and_generates_what_it_scores(name):
    for make in (
        lambda backbone: PT(backbone, 3, "vocabulary", None, lr=0.1),
        lambda backbone: LoRA(backbone, 2, 4, 0.0, ["query", "value", "ffn_output"], lr=0.1),
    ):
        backbone = make_family(name)
        method = make(backbone)
        optimizer = torch.optim.Adam(method.parameters(), lr=0.02)
        losses = []
        for _ in range(4):
            losses.append(batch_loss(backbone, method, batch_of(backbone)))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < losses[0], type(method).__name__
        if backbone.family.generates:
            assert torch.equal(*written_and_best(backbone, method))


@torch.no_grad()
def written_and_best(backbone, method):
    """What generation writes for the longest row, and the most likely token at each place behind what it wrote."""
    row = max(backbone.encode(examples_for(backbone)), key=lambda row: len(row.source))
    ids = backbone.generate(method.inputs(backbone.batch([row], training=False)), **GREEDY)[0]
    ids = ids[1:] if backbone.config.is_encoder_decoder else ids
    scored = type(row)(row.source, [*ids.tolist(), backbone.tokenizer.eos_token_id], False)
    logits = backbone.forward(method.inputs(backbone.batch([scored])))[0][:-1]
    ends = backbone.model.generation_config.eos_token_id
    logits[:, ends] = -torch.inf  # min_new_tokens forbids an end
    return ids, logits.argmax(-1)


@pytest.mark.parametrize("name", ["gemma2", "mistral", "olmo3", "gpt_neo", "phi3"])
def test_beams_read_a_source_once_and_write_the_same(name):
    backbone = make_family(name)
    batch = backbone.embed(batch_of(backbone, training=False))
    beams = GREEDY | {"num_beams": 3}
    with torch.no_grad():
        expected = backbone.model.generate(**batch.model_inputs(), do_sample=False, **beams)
    assert torch.equal(backbone.generate(batch, **beams), expected)


def test_a_constant_of_a_model_is_no_weight():
    backbone = make_family("pegasus")  # its positions are a table of sines
    assert not any("embed_positions" in name for name, _ in backbone.named_parameters())


def test_an_unknown_argument_of_attention_is_named():
    states = torch.randn(1, 2, 3, 4)
    with pytest.raises(ValueError, match="an argument 'relative_bias', which this package does not know"):
        attend(torch.nn.Identity(), states, states, states, None, relative_bias=torch.zeros(3))


def test_sinks_take_weight_and_add_nothing():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    sinks = torch.tensor([0.3, -1.0])
    scores = query @ key.transpose(-1, -2) / 2
    weights = scores.exp() / (scores.exp().sum(-1, keepdim=True) + sinks.exp().view(1, 2, 1, 1))
    out, _ = attend(torch.nn.Identity(), query, key, value, None, s_aux=sinks)
    assert torch.allclose(out, (weights @ value).transpose(1, 2), atol=1e-6)
