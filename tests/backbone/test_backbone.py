"""The four places of change, against the model's own way of computing."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, DynamicCache

from peft_cli.backbone.loading import load_backbone
from peft_cli.data import Example
from tests.conftest import EXAMPLES, examples_for, make_backbone

GENERATES = ["gpt2", "llama", "bart", "t5"]
LOAD = {"dtype": "fp32", "device": "cpu", "separator": None, "max_source_tokens": 64, "max_target_tokens": 16}


@pytest.mark.parametrize("family", GENERATES)
def test_logits_at_targets_give_transformers_own_loss(family):
    backbone = make_backbone(family)
    batch = backbone.batch(backbone.encode(EXAMPLES))
    logits, targets = backbone.forward(batch)
    assert torch.allclose(F.cross_entropy(logits, targets), backbone.model(**batch.tensors()).loss, atol=1e-6)


@pytest.mark.parametrize("family", GENERATES)
def test_logits_at_targets_have_the_whole_ways_gradients(family):
    gradients = []
    for whole in (False, True):
        backbone = make_backbone(family)
        backbone.model.requires_grad_(True)
        batch = backbone.batch(backbone.encode(EXAMPLES))
        loss = backbone.model(**batch.tensors()).loss if whole else F.cross_entropy(*backbone.forward(batch))
        loss.backward()
        gradients.append([p.grad for _, p in backbone.named_parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_attention_is_that_of_transformers(family):
    ours, theirs = make_backbone(family), make_backbone(family)
    theirs.model.set_attn_implementation("eager")
    batch = ours.batch(ours.encode(examples_for(ours)))
    assert torch.allclose(ours.forward(batch)[0], theirs.forward(batch)[0], atol=1e-5)


def test_embedded_inputs_give_the_logits_of_ids(family, backbone):
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    assert torch.allclose(backbone.forward(batch)[0], backbone.forward(backbone.embed(batch))[0], atol=1e-6)


def test_prepended_embeddings_of_tokens_are_those_tokens_in_front(family, backbone):
    ids = torch.tensor([9, 10, 11])
    rows = backbone.encode(examples_for(backbone)[:1])
    batch = backbone.batch(rows)
    soft = backbone.prepend(backbone.embed(batch), backbone.embedding(ids))
    at = backbone.family.prompt_at
    source = batch.input_ids
    hard = batch.with_(
        input_ids=torch.cat([source[:, :at], ids[None], source[:, at:]], 1),
        attention_mask=F.pad(batch.attention_mask, (3, 0), value=1),
    )
    if backbone.family.is_decoder_only:
        hard = hard.with_(labels=F.pad(batch.labels, (3, 0), value=-100))
    assert torch.allclose(backbone.forward(soft)[0], backbone.forward(hard)[0], atol=1e-5)


def in_front_of_every_row(batch, vectors):
    """The plain way to prepend, in a decoder."""
    length, rows = len(vectors), vectors.expand(len(batch.labels), -1, -1)
    return batch.with_(
        inputs_embeds=torch.cat([rows, batch.inputs_embeds], 1),
        attention_mask=F.pad(batch.attention_mask, (length, 0), value=1),
        labels=F.pad(batch.labels, (length, 0), value=-100),
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_runs_a_prompt_once_and_the_gradient_is_that_of_the_plain_way(family):
    backbone = make_backbone(family)
    batch = backbone.embed(backbone.batch(backbone.encode(examples_for(backbone)) * 4))
    gradients, operations = [], []
    for prepend in (backbone.prepend, in_front_of_every_row):
        torch.manual_seed(0)
        vectors = torch.randn(30, backbone.d_model, requires_grad=True)
        with FlopCounterMode(display=False) as flops:
            F.cross_entropy(*backbone.forward(prepend(batch, vectors))).backward()
        gradients.append(vectors.grad)
        operations.append(flops.get_total_flops())
    assert torch.allclose(*gradients, atol=1e-7, rtol=1e-5) and operations[0] < 0.6 * operations[1]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_prompt_does_not_stay_for_inputs_without_one(family):
    backbone = make_backbone(family)
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    plain = backbone.forward(batch)[0]
    backbone.forward(backbone.prepend(backbone.embed(batch), torch.ones(3, backbone.d_model)))
    assert torch.equal(backbone.forward(batch)[0], plain)


def test_under_dropout_every_row_has_a_prompt_of_its_own():
    backbone = make_backbone("gpt2")
    batch = backbone.embed(backbone.batch(backbone.encode(examples_for(backbone))))
    backbone.has_dropout = True
    backbone.model.train()
    soft = backbone.prepend(batch, torch.ones(3, backbone.d_model))
    assert soft.prompt is None and soft.inputs_embeds.shape[1] == 3 + batch.inputs_embeds.shape[1]


def test_linear_change_sees_input_and_output_of_its_part_alone(family, backbone):
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    plain = backbone.forward(batch)[0]
    seen = []

    def see(x, y):
        seen.append((x.shape[-1], y.shape[-1]))
        return y

    linears = backbone.linears("query", "value", "ffn_output")
    for linear in linears:
        linear.change(see)
    assert torch.equal(backbone.forward(batch)[0], plain)
    assert sorted(set(seen)) == sorted({(linear.in_features, linear.out_features) for linear in linears})


def test_every_linear_part_changes_the_logits(family):
    for part in make_backbone(family).family.linears:
        backbone = make_backbone(family)
        batch = backbone.batch(backbone.encode(examples_for(backbone)))
        plain = backbone.forward(batch)[0]
        for linear in backbone.linears(part):
            linear.change(lambda x, y: y * 1.5)
        assert not torch.allclose(backbone.forward(batch)[0], plain, atol=1e-4), part


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="gpt2 has no part 'qury'; it has query, key, value"):
        make_backbone("gpt2").linears("qury")


def test_every_kind_of_attention_can_be_changed(family):
    for kind in make_backbone(family).attentions():
        backbone = make_backbone(family)
        batch = backbone.batch(backbone.encode(examples_for(backbone)))
        plain = backbone.forward(batch)[0]
        for attention in backbone.attentions()[kind]:
            extra = torch.ones(*(states(backbone, kind)[0].shape[1:2]), 2, states(backbone, kind)[0].shape[-1])
            attention.change_kv(lambda key, value, extra=extra: (front(extra, key), front(extra, value)))
        assert not torch.allclose(backbone.forward(batch)[0], plain, atol=1e-4), kind


def states(backbone, kind="decoder"):
    """Key and value of the first attention module of a kind, for one token."""
    return backbone.compute_kv([backbone.pad])[kind][0]


def test_keys_and_values_of_a_text_are_those_of_the_untouched_model(family, backbone):
    expected = backbone.compute_kv([4, 5, 6])
    backbone.shift_positions(3)
    for linear in backbone.linears("query", "value"):
        linear.change(lambda x, y: y + 1)
    for attention in backbone.all_attentions():
        attention.change_kv(lambda key, value: (key + 1, value + 1))
    found = backbone.compute_kv([4, 5, 6])
    assert all(
        torch.equal(a, b) for kind in expected for pair in zip(expected[kind], found[kind], strict=True)
        for a, b in zip(*pair, strict=True)
    )  # fmt: skip


def front(extra, tensor):
    return torch.cat([extra.expand(len(tensor), -1, -1, -1), tensor], dim=2)


def test_a_prefix_on_gpt2_is_a_cache_prefix_where_positions_agree():
    backbone = make_backbone("gpt2")
    torch.manual_seed(3)
    _, heads, _, d_head = states(backbone)[0].shape
    prefixes = [torch.randn(2, heads, 2, d_head) for _ in backbone.attentions()["decoder"]]
    ids = torch.tensor([[4, 5, 6, 7]])
    plain = AutoModelForCausalLM.from_config(deepcopy(backbone.config), attn_implementation="eager")
    plain.load_state_dict(backbone.model.state_dict())
    cache = DynamicCache()
    for layer, (key, value) in enumerate(prefixes):
        cache.update(key[None], value[None], layer)
    positions = torch.arange(4)[None]
    expected = plain.eval()(ids, past_key_values=cache, position_ids=positions, attention_mask=torch.ones(1, 6)).logits
    for attention, (key, value) in zip(backbone.attentions()["decoder"], prefixes, strict=True):
        attention.change_kv(lambda k, v, key=key, value=value: (front(key, k), front(value, v)))
    assert torch.allclose(backbone.model(ids).logits, expected, atol=1e-5)


def test_two_changes_of_one_attention_module_are_refused():
    attention = make_backbone("gpt2").attentions()["decoder"][0]
    attention.change_kv(lambda key, value: (key, value))
    with pytest.raises(ValueError, match="two parts of a method"):
        attention.change_kv(lambda key, value: (key, value))


def test_block_change_rewrites_what_enters_a_block(family):
    for stack in make_backbone(family).family.stacks:
        backbone = make_backbone(family)
        batch = backbone.batch(backbone.encode(examples_for(backbone)))
        plain = backbone.forward(batch)[0]
        backbone.blocks()[stack][1].change_input(lambda hidden: hidden * 2 + torch.ones_like(hidden).cumsum(-1))
        assert not torch.allclose(backbone.forward(batch)[0], plain, atol=1e-4), stack


def test_reserved_positions_come_off_the_longest_source():
    backbone = make_backbone("gpt2", max_target_tokens=20)
    backbone.reserve(160)
    assert backbone.positions_added == 160 and backbone.encoder.max_source_tokens == 192 - 20 - 160


def test_too_many_reserved_positions_are_refused():
    with pytest.raises(ValueError, match="188 positions in front leave -8 of the backbone's 192"):
        make_backbone("gpt2").reserve(188)


def test_a_prompt_fits_beside_the_longest_source_of_roberta():
    backbone = make_backbone("roberta")
    backbone.encoder.max_source_tokens = 1000
    backbone.reserve(20)
    (row,) = backbone.encode([Example("0", "a " * 200, ("good",))])
    batch = backbone.prepend(backbone.embed(backbone.batch([row])), torch.zeros(20, 16))
    assert backbone.forward(batch)[0].shape == (1, 2) and batch.inputs_embeds.shape[1] == 192


def test_a_checkpoints_generation_settings_are_not_taken():
    assert make_backbone("bart").model.generation_config.num_beams is None


def test_the_source_mask_leaves_out_target_and_padding():
    backbone = make_backbone("gpt2")
    rows = backbone.encode(EXAMPLES)
    for training in (True, False):
        mask = backbone.source_mask(backbone.batch(rows, training))
        assert mask.sum(-1).tolist() == [len(row.source) for row in rows]


def test_a_model_that_is_nowhere_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"backbone\.name=no/such is no local folder and could not be had") as error:
        load_backbone("no/such", **LOAD)
    assert "\n" not in str(error.value)


def test_an_unknown_family_lists_the_known_ones(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    with pytest.raises(ValueError, match="of the family 'bloom'; the families are gpt2, llama, mistral"):
        load_backbone(str(tmp_path), **LOAD)


def test_roberta_needs_classes(tmp_path):
    make_backbone("roberta").config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cannot write text, and the data set has no classes"):
        load_backbone(str(tmp_path), **LOAD)


def test_t5_in_fp16_is_refused(tmp_path):
    make_backbone("t5").config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"backbone\.dtype=fp16 overflows"):
        load_backbone(str(tmp_path), **LOAD | {"dtype": "fp16"})


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_saved_folder_is_loaded(tmp_path, dtype):
    backbone = make_backbone("gpt2")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path), **LOAD | {"dtype": dtype})
    assert loaded.model.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    if dtype == "fp32":
        assert loaded.fingerprint() == backbone.fingerprint()
