import pytest
import torch
import torch.nn.functional as F

from peft_cli.data import Example
from peft_cli.method.prefix import Prefix
from tests.conftest import D_MODEL, EXAMPLES, LAYERS, examples_for, make_backbone, three_equal_steps


def make(backbone, **options):
    torch.manual_seed(0)
    defaults = {
        "length": 3,
        "bottleneck": 8,
        "init": "random",
        "text": None,
        "place": "front",
        "shift_positions": False,
        "lr": 1e-3,
    }
    return Prefix(backbone, **defaults | options)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def activations(backbone, text):
    """Keys and values [layers, 2, kv_heads, T, d_head] of a text in each kind of attention."""
    states = backbone.compute_kv(backbone.encoder.ids(text))
    return {kind: torch.stack([torch.stack([key[0], value[0]]) for key, value in own]) for kind, own in states.items()}


def heads_of(backbone):
    """How many heads keys and values have, and the width of one."""
    _, _, heads, _, d_head = next(iter(activations(backbone, "name").values())).shape
    return heads, d_head


def test_every_kind_of_attention_has_a_stack_of_its_own(family, backbone):
    method = make(backbone)
    assert set(method.stacks) == set(backbone.attentions())
    method.fold()
    heads, d_head = heads_of(backbone)
    head = sum(p.numel() for _, p in backbone.head())
    stored = len(method.stacks) * LAYERS * 2 * 3 * heads * d_head
    assert sum(p.numel() for p in method.parameters()) == stored + head


@pytest.mark.parametrize("bottleneck", [None, 8])
def test_a_start_at_zero_has_zero_keys_and_values(backbone, bottleneck):
    method = make(backbone, init="zero", bottleneck=bottleneck)
    method.inputs(backbone.batch(backbone.encode(examples_for(backbone))))
    assert all(torch.equal(prefix, torch.zeros_like(prefix)) for prefix in method.prefixes.values())


def test_a_text_start_without_mlp_is_the_text_in_front():
    """In a causal decoder, the activations of a text are what the text itself would give in front of the input."""
    backbone = make_backbone("gpt2")
    method = make(backbone, init="text", text="name : Blue", bottleneck=None, shift_positions=True)
    plain = make_backbone("gpt2")
    ids = torch.tensor(plain.encoder.ids("name : Blue"))
    batch = plain.batch(plain.encode(EXAMPLES))
    with torch.no_grad():
        expected = plain.forward(plain.prepend(plain.embed(batch), plain.embedding(ids)))[0]
    assert torch.allclose(logits(backbone, method), expected, atol=1e-5)


def test_a_text_start_with_mlp_comes_nearer_to_the_activations():
    backbone = make_backbone("t5")
    wanted = activations(backbone, "name : Blue")
    random, started = (
        make(make_backbone("t5"), bottleneck=64),
        make(backbone, bottleneck=64, init="text", text="name : Blue"),
    )
    far, near = (sum((stack() - wanted[k]).pow(2).mean() for k, stack in m.stacks.items()) for m in (random, started))
    assert near < far


def test_shifted_positions_change_a_decoder_with_absolute_ones():
    shifted, plain = (make_backbone("gpt2") for _ in range(2))
    assert not torch.allclose(
        logits(shifted, make(shifted, shift_positions=True)), logits(plain, make(plain)), atol=1e-4
    )
    assert shifted.positions_added == plain.positions_added == 3


def test_the_mlp_runs_once_for_a_batch():
    backbone = make_backbone("gpt2")
    method = make(backbone)
    calls = []
    for stack in method.stacks.values():
        stack.register_forward_hook(lambda *args: calls.append(1))
    logits(backbone, method)
    assert len(calls) == len(method.stacks)


def test_a_text_goes_with_init_text_only():
    with pytest.raises(ValueError, match="a text goes with init=text, and only with it"):
        make(make_backbone("gpt2"), text="words")


def test_width_is_that_of_keys_and_values_not_of_d_model():
    assert make(make_backbone("t5"), bottleneck=None).stacks["encoder"].rows.shape == (3, LAYERS * 2 * 2 * 6)
    assert D_MODEL != 2 * 6


# The infix


def test_an_infix_is_a_prefix_where_the_source_is_the_separator():
    examples = [Example("0", "", EXAMPLES[0].references), Example("1", "", EXAMPLES[1].references)]
    outs = []
    for place in ("front", "between"):
        backbone = make_backbone("gpt2")
        method = make(backbone, place=place, shift_positions=True)
        with torch.no_grad():
            outs.append(backbone.forward(method.inputs(backbone.batch(backbone.encode(examples))))[0])
    assert torch.allclose(*outs, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("shift_positions", [True, False])
def test_the_source_does_not_see_an_infix_and_the_rest_does(family, shift_positions):
    plain, backbone = make_backbone(family), make_backbone(family)
    batch = plain.batch(plain.encode(EXAMPLES))
    method = make(backbone, place="between", shift_positions=shift_positions)
    (_, untouched), (_, changed) = (last_hidden(b, m, batch) for b, m in ((plain, None), (backbone, method)))
    same = torch.isclose(untouched, changed, atol=1e-5).all(-1)
    mask = batch.attention_mask.bool()
    before = plain.source_mask(batch)
    before &= before.cumsum(-1) <= before.sum(-1, keepdim=True) - len(plain.encoder.end)
    assert torch.equal(same[mask], before[mask])


def last_hidden(backbone, method, batch):
    """What enters the output embedding: with its shape, [B, T, d_model]."""
    seen, inputs = [], (method.inputs(batch) if method else batch).model_inputs()
    backbone.model.get_output_embeddings().register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        backbone.model(**inputs, position_ids=positions, use_cache=False)
    return seen[0].shape, seen[0]


def test_an_infix_without_a_separator_is_refused():
    backbone = make_backbone("gpt2")
    backbone.encoder.end = []
    with pytest.raises(ValueError, match="before its separator, and gpt2 has none here"):
        make(backbone, place="between")


# Against HF peft


def hf_prefix(backbone, task, length=3, **options):
    """The same in HF peft, and its one tensor."""
    from peft import PrefixTuningConfig, get_peft_model

    model = get_peft_model(backbone.model, PrefixTuningConfig(task_type=task, num_virtual_tokens=length, **options))
    (rows,) = [p for p in model.parameters() if p.requires_grad]
    return model, rows


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_without_mlp_three_steps_are_those_of_hf_peft(family):
    ours, theirs = make_backbone(family), make_backbone(family)
    method = make(ours, bottleneck=None, shift_positions=True)
    model, rows = hf_prefix(theirs, "CAUSAL_LM")
    rows.data.copy_(method.stacks["decoder"].rows.data)
    batch = ours.batch(ours.encode(EXAMPLES))  # padded on the right, where HF peft is right too
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (method, model)]
    three_equal_steps(ours, method, model, batch, optimizers, lambda: [(method.stacks["decoder"].rows.grad, rows.grad)])


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_hf_peft_has_no_prefix_in_the_encoder_and_this_has_the_formulas(family):
    plain, ours, theirs = (make_backbone(family) for _ in range(3))
    batch = plain.batch(plain.encode(EXAMPLES[:1]))
    heads, d_head = heads_of(plain)
    sizes = {"token_dim": heads * d_head, "num_layers": LAYERS, "num_attention_heads": heads}
    hf_prefix(theirs, "SEQ_2_SEQ_LM", **sizes)
    method = make(ours, bottleneck=None)
    method.inputs(batch)
    ids = batch.model_inputs()
    with torch.no_grad():
        untouched, changed, hf = (b.model.get_encoder()(**ids).last_hidden_state for b in (plain, ours, theirs))
    assert torch.equal(hf, untouched) and not torch.allclose(changed, untouched, atol=1e-3)
    assert torch.allclose(*first_attention(ours, method, ids), atol=1e-5)


def first_attention(backbone, method, ids):
    """What the encoder's first attention module hands on, and softmax(q [P_k; K]) [P_v; V] by hand."""
    seen, (heads, d_head) = {}, heads_of(backbone)
    for part in ("query", "key", "value", "attention_output"):
        module = backbone.linears(part)[0].module  # the encoder's come first
        module.register_forward_hook(lambda m, args, out, part=part: seen.update({part: (args[0], out)}))
    biases = []
    with torch.no_grad():
        if backbone.config.model_type == "t5":
            layer = backbone.attentions()["encoder"][0].module
            n = ids["input_ids"].shape[1]
            biases.append(F.pad(layer.compute_bias(n, n), (3, 0)))
        backbone.model.get_encoder()(**ids)
    q, k, v = (seen[p][1].unflatten(-1, (heads, d_head)).transpose(1, 2) for p in ("query", "key", "value"))
    prefix = method.prefixes["encoder"][0].detach().unsqueeze(1)  # [2, 1, heads, P, d_head]
    k, v = (torch.cat([prefix[i], states], 2) for i, states in enumerate((k, v)))
    scale = 1.0 if biases else d_head**-0.5
    scores = scale * q @ k.transpose(-1, -2) + sum(biases)
    return seen["attention_output"][0], (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
