import pytest
import torch

from peft_cli.method.adapter import Adapter
from peft_cli.method.compacter import PHM, Compacter
from tests.conftest import D_MODEL, LAYERS, examples_for, make_backbone

PLACEMENTS = ("houlsby", "pfeiffer", "parallel")


def make(backbone, **options):
    torch.manual_seed(0)
    defaults = {"placement": "houlsby", "input": None, "size": 4, "reduction": None, "activation": "relu", "scale": 1.0}
    return Adapter(backbone, **{**defaults, "cross_attention": True, "lr": 1e-3} | options)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def stirred(method):
    torch.manual_seed(2)
    for p in method.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return method


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("scale", [2.0, None])
def test_every_placement_starts_neutral_and_then_changes_the_logits(backbone, placement, scale):
    untouched = make_backbone(backbone.config.model_type)
    before = untouched.forward(untouched.batch(untouched.encode(examples_for(untouched))))[0]
    method = make(backbone, placement=placement, scale=scale)
    assert torch.allclose(logits(backbone, method), before, atol=1e-5)
    assert not torch.allclose(logits(backbone, stirred(method)), before, atol=1e-4)


@pytest.mark.parametrize(("placement", "count"), [("houlsby", 2 * LAYERS), ("pfeiffer", LAYERS), ("parallel", LAYERS)])
def test_an_adapter_has_two_maps_and_two_biases(placement, count):
    method = make(make_backbone("gpt2"), placement=placement)
    assert sum(p.numel() for p in method.parameters()) == count * (2 * 4 * D_MODEL + 4 + D_MODEL)


def test_a_reduction_divides_the_width():
    method = make(make_backbone("gpt2"), size=None, reduction=4)
    assert method.adapters[0].down.weight.shape == (D_MODEL // 4, D_MODEL)


def test_size_or_reduction_has_to_be_given():
    with pytest.raises(ValueError, match="give one of them, and null for the other"):
        make(make_backbone("gpt2"), size=4, reduction=2)


def test_a_hypercomplex_map_is_a_sum_of_kronecker_products():
    torch.manual_seed(0)
    rule = torch.nn.Parameter(torch.randn(2, 2, 2))
    layer = PHM(rule, 6, 4)
    layer.bias.data.normal_()
    weight = sum(torch.kron(rule[i], layer.left[i] @ layer.right[i]) for i in range(2))
    x = torch.randn(3, 6)
    assert torch.allclose(layer(x), x @ weight + layer.bias, atol=1e-6)


def make_compacter(backbone, **options):
    defaults = {"n": 4, "placement": "houlsby", "size": 8, "reduction": None, "activation": "gelu"}
    return Compacter(backbone, **{**defaults, "cross_attention": False, "lr": 1e-3} | options)


@pytest.mark.parametrize(("placement", "count"), [("houlsby", 2 * LAYERS), ("pfeiffer", LAYERS)])
def test_compacter_trains_what_its_formula_counts(placement, count):
    method = make_compacter(make_backbone("gpt2"), placement=placement)
    each = 2 * (D_MODEL + 8) + 8 + D_MODEL  # s and t of both maps, and their biases
    assert sum(p.numel() for p in method.parameters()) == 4**3 + count * each


def test_compacters_shared_rule_is_stored_once():
    method = make_compacter(make_backbone("gpt2"))
    assert [name for name in method.state_dict() if "rule" in name] == ["rule"]


def test_widths_have_to_be_multiples_of_n():
    with pytest.raises(ValueError, match=r"method\.n=3 does not divide both d_model=16 and the bottleneck's 8"):
        make_compacter(make_backbone("gpt2"), n=3)


def test_the_maps_start_as_in_the_authors_code():
    method = make_compacter(make_backbone("gpt2"))
    down, bound = (
        method.adapters[0].down,
        (2 * 6 / (D_MODEL / 4 + 1)) ** 0.5,
    )  # sqrt(2) times Glorot's, [d_model / n, 1]
    assert bound / 2 < down.left.abs().max() <= bound and not down.bias.any()
    assert 0.5e-4 < method.rule.std() < 2e-4  # phm_init_range of their compacter.json
