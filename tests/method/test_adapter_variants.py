"""What an adapter reads in each placement and family, against the papers' formulas in plain torch."""

import pytest
import torch
import torch.nn.functional as F

from peft_cli.method.adapter import Adapter
from peft_cli.method.compacter import Compacter
from peft_cli.method.unipelt import UniPELT
from tests.conftest import D_MODEL, LAYERS, examples_for, make_backbone

SIZE = 4
ENDS = {
    "gpt2": ("transformer.h.0.ln_2", "transformer.h.0.mlp", None),
    "llama": ("model.layers.0.post_attention_layernorm", "model.layers.0.mlp", None),
    "t5": ("encoder.block.0.layer.1.layer_norm", "encoder.block.0.layer.1.DenseReluDense", None),
    "bart": ("model.encoder.layers.0.fc1", "model.encoder.layers.0.fc2", "model.encoder.layers.0.final_layer_norm"),
    "roberta": (
        "roberta.encoder.layer.0.intermediate.dense",
        "roberta.encoder.layer.0.output.dense",
        "roberta.encoder.layer.0.output.LayerNorm",
    ),
}  # the module that the residual stream x enters, the one that returns y, and the normalisation of x + y if any


def make(backbone, **options) -> Adapter:
    defaults = {"placement": "pfeiffer", "input": None, "size": SIZE, "reduction": None, "activation": "relu"}
    return Adapter(backbone, **{**defaults, "scale": 1.0, "cross_attention": True, "lr": 1e-3} | options)


def stir(method) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        for p in method.parameters():
            p += 0.3 * torch.randn_like(p)


def states(backbone, method) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The first block's x, what its feed-forward reads (z) and returns without an adapter (y), and what with one."""
    seen: dict[str, torch.Tensor] = {}

    def keep_input(name):
        return lambda module, args: seen.update({name: args[0]} if name not in seen else {})

    def keep_output(name):
        return lambda module, args, out: seen.update({name: out} if name not in seen else {})

    plain = make_backbone(backbone.config.model_type)
    entry, exit, _ = ENDS[plain.config.model_type]
    plain.model.get_submodule(exit).register_forward_hook(keep_output("y"))
    backbone.model.get_submodule(entry).register_forward_pre_hook(keep_input("x"))
    backbone.feed_forwards()[0].first.module.register_forward_pre_hook(keep_input("z"))
    backbone.model.get_submodule(exit).register_forward_hook(keep_output("changed"))
    with torch.no_grad():
        for one, inputs in ((plain, lambda batch: batch), (backbone, method.inputs)):
            one.forward(inputs(one.batch(one.encode(examples_for(one)))))
    return seen, seen["changed"]


def mlp(adapter, z: torch.Tensor) -> torch.Tensor:
    """W_up relu(W_down z + b_down) + b_up."""
    hidden = torch.relu(z @ adapter.down.weight.T + adapter.down.bias)
    return hidden @ adapter.up.weight.T + adapter.up.bias


def normed_sum(backbone, seen) -> torch.Tensor:
    """LN(x + y), or x + y where the block normalises first."""
    name = ENDS[backbone.config.model_type][2]
    total = seen["x"] + seen["y"]
    if name is None:
        return total
    norm = backbone.model.get_submodule(name)
    return F.layer_norm(total, (D_MODEL,), norm.weight, norm.bias, norm.eps)


READ = {
    "output": lambda backbone, seen: seen["y"],
    "normed": normed_sum,
    "residual": lambda backbone, seen: seen["x"],
    "entered": lambda backbone, seen: seen["z"],
}
CASES = [
    ("houlsby", None, "output"),
    ("pfeiffer", None, "normed"),
    ("pfeiffer", "normed", "normed"),
    ("pfeiffer", "output", "output"),
    ("parallel", None, "residual"),
    ("parallel", "residual", "residual"),
    ("parallel", "normed", "entered"),
]


@pytest.mark.parametrize(("placement", "option", "read"), CASES)
def test_an_adapter_reads_what_its_paper_says(backbone, placement, option, read):
    method = make(backbone, placement=placement, input=option, scale=2.0)
    stir(method.adapters[-LAYERS * len(backbone.family.stacks) :])  # the attention's stay as if they were not there
    seen, changed = states(backbone, method)
    adapter = method.adapters[len(method.adapters) - LAYERS * len(backbone.family.stacks)]
    with torch.no_grad():
        assert torch.allclose(changed, seen["y"] + 2.0 * mlp(adapter, READ[read](backbone, seen)), atol=1e-5)


@pytest.mark.parametrize("family", ["bart", "roberta"])
def test_before_a_block_that_normalises_last_both_parallel_inputs_are_one(family):
    backbone = make_backbone(family)
    seen, _ = states(backbone, make(backbone, placement="parallel"))
    assert torch.equal(seen["x"], seen["z"])


@pytest.mark.parametrize(
    ("placement", "option"), [("houlsby", "normed"), ("pfeiffer", "residual"), ("parallel", "output")]
)
def test_an_input_that_a_placement_has_not_got_is_refused(placement, option):
    with pytest.raises(ValueError, match=rf"method\.placement={placement} has no method\.input={option}; it has to be"):
        make(make_backbone("gpt2"), placement=placement, input=option)


def test_each_adapter_trains_a_scale_of_its_own():
    backbone = make_backbone("gpt2")
    method = make(backbone, placement="houlsby", scale=None)
    scales = [adapter.scale for adapter in method.adapters]
    assert len({id(scale) for scale in scales}) == 2 * LAYERS and all(scale == 1 for scale in scales)
    stir(method)
    F.cross_entropy(*backbone.forward(backbone.batch(backbone.encode(examples_for(backbone))))).backward()
    assert len({float(scale.grad) for scale in scales}) == 2 * LAYERS


@pytest.mark.parametrize("family", ["bart", "t5"])
@pytest.mark.parametrize("cross_attention", [True, False])
def test_houlsby_has_adapters_after_cross_attention_where_it_is_asked_to(family, cross_attention):
    method = make(make_backbone(family), placement="houlsby", cross_attention=cross_attention)
    assert len(method.adapters) == LAYERS * (4 + cross_attention)  # encoder 2, decoder 2


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_new", "swish", "tanh"])
def test_activations_are_those_of_transformers(activation):
    from transformers.activations import ACT2FN

    method, x = make(make_backbone("gpt2"), activation=activation), torch.linspace(-4, 4, 50)
    assert torch.allclose(method.adapters[0].activation(x), ACT2FN[activation](x), atol=1e-6)


def test_compacter_reads_what_its_place_returns_and_has_none_after_cross_attention(backbone):
    method = Compacter(backbone, 2, "pfeiffer", SIZE, None, "relu", cross_attention=False, lr=1e-3)
    stir(method)
    seen, changed = states(backbone, method)
    down, up = (kronecker(method.rule, one) for one in (method.adapters[0].down, method.adapters[0].up))
    with torch.no_grad():
        hidden = torch.relu(seen["y"] @ down + method.adapters[0].down.bias)
        assert torch.allclose(changed, seen["y"] + hidden @ up + method.adapters[0].up.bias, atol=1e-4)
    whole = Compacter(make_backbone("t5"), 2, "houlsby", SIZE, None, "relu", cross_attention=False, lr=1e-3)
    assert len(whole.adapters) == 4 * LAYERS


def kronecker(rule, part) -> torch.Tensor:
    """sum_i A_i (x) s_i t_i."""
    return sum(torch.kron(rule[i], part.left[i] @ part.right[i]) for i in range(len(rule)))


def test_compacters_trained_start_is_the_backbone_but_for_rounding(backbone):
    untouched = make_backbone(backbone.config.model_type)
    Compacter(backbone, 2, "houlsby", SIZE, None, "gelu_new", cross_attention=True, lr=1e-3)
    outs = [one.forward(one.batch(one.encode(examples_for(one))))[0] for one in (backbone, untouched)]
    assert torch.allclose(*outs, atol=1e-5)


@pytest.mark.parametrize("read", ["normed", "output"])
def test_unipelts_adapter_and_its_gate_read_the_same(backbone, read):
    method = UniPELT(backbone, 2, None, 2, read, D_MODEL / SIZE, "relu", shift_positions=False, lr=1e-3)
    stir(method.adapters)
    adapter, calls = method.adapters[0], []
    adapter.register_forward_hook(lambda module, args, out: calls.append((args[0], out)))
    gathered, changed = states(backbone, method)
    z, added = calls[0]
    y = changed - added
    expected = y if read == "output" else normed_sum(backbone, {"x": gathered["x"], "y": y})
    gate = torch.sigmoid(z @ adapter.gate.weight.T + adapter.gate.bias)
    assert torch.allclose(z, expected, atol=1e-5)
    assert torch.allclose(added, gate * mlp(adapter, z), atol=1e-5)


@pytest.mark.parametrize("placement", ["pfeiffer", "parallel"])
def test_gradient_checkpointing_keeps_the_gradients_of_what_reads_the_residual_stream(backbone, placement):
    method, gradients = make(backbone, placement=placement), []
    stir(method)
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    for checkpointing in (False, True):
        if checkpointing:
            backbone.model.train()
            backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
        method.zero_grad()
        F.cross_entropy(*backbone.forward(method.inputs(batch))).backward()
        gradients.append([p.grad.clone() for p in method.adapters.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))
