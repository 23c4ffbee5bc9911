"""Several methods in one batch: what each says of its rows is what it says alone."""

from copy import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from peft_cli.config.targets import resolve
from peft_cli.serving.multi_method import check_methods, forward_methods, method_inputs, predict_methods
from peft_cli.serving.shared_rows import share_weights
from tests.conftest import CONFIGS, examples_for, make_backbone

YAMLS = {path.stem: path for path in (Path(__file__).parents[2] / "conf" / "method").glob("*.yaml")}
GREEDY = {"num_beams": 1, "max_new_tokens": 6, "min_new_tokens": 6}
SIZES = {"length": [3, 5], "rank": [2, 4], "size": [4, 8], "positions": [24, 24], "reduction": [4, 8]}
CLASSES = ("good", "bad", "cheap")  # of every second method on a head


def construct(name: str, backbone, second: bool = False):
    """A method of small sizes, others for a second one, with tensors that are not its first ones."""
    arguments = OmegaConf.to_container(OmegaConf.load(YAMLS[name]))
    sizes = {key: values[second] for key, values in SIZES.items() if arguments.get(key) is not None}
    arguments |= sizes | ({"bottleneck": None} if name in ("prefix", "infix") and second else {})
    method = resolve(arguments.pop("_target_"), "method")(backbone, **arguments)
    with torch.no_grad():
        for p in method.parameters():
            p += 0.1 * torch.randn_like(p)
    return method.eval()


def beside(backbone, labels=()):
    """A backbone of the same model, for other labels."""
    encoder = copy(backbone.encoder_at_first)
    encoder.labels, encoder.cache = labels, {}
    return share_weights(backbone, encoder)


def fits(name: str, family: str) -> bool:
    """Whether a method works on a family and can share a batch."""
    try:
        return construct(name, make_backbone(family)).shares_batches
    except ValueError:
        return False


SHARING = {family: [name for name in sorted(YAMLS) if fits(name, family)] for family in CONFIGS}


@pytest.fixture
def methods(family):
    """Every method that can share a batch, twice and of unlike sizes, on one model."""
    torch.manual_seed(0)
    backbone = make_backbone(family)
    made, free = [], [backbone]
    for name in SHARING[family]:
        for second in (False, True):
            labels = () if backbone.family.generates else CLASSES[: 2 + second]
            made.append(construct(name, free.pop() if free else beside(backbone, labels), second))
    return made


def parts(methods):
    """For each method one to three examples, never the same."""
    examples = examples_for(methods[0].backbone)
    return [(m, m.backbone.encode(examples[i % 3 : 1 + i % 3 + i % 2])) for i, m in enumerate(methods)]


def test_logits_are_those_of_each_method_alone(methods):
    owned = parts(methods)
    with torch.no_grad():
        alone = [m.backbone.forward(m.inputs(m.backbone.batch(rows))) for m, rows in owned]
        together = forward_methods(method_inputs(owned))
    for (method, _), (logits, targets), (own, own_targets) in zip(owned, together, alone, strict=True):
        assert torch.allclose(logits, own, atol=1e-5, rtol=1e-5), type(method).__name__
        assert torch.equal(targets, own_targets)
    assert len({logits.flatten()[0].item() for logits, _ in together}) == len(methods), "no method acts like another"


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_are_those_of_each_method_alone(methods, beams):
    owned, options = parts(methods), GREEDY | {"num_beams": beams}
    alone = [m.backbone.predict(m.inputs(m.backbone.batch(rows, training=False)), **options) for m, rows in owned]
    assert predict_methods(method_inputs(owned, training=False), **options) == alone


def test_gradients_are_those_of_each_method_alone(methods):
    owned, alone = parts(methods), []
    for m, rows in owned:
        F.cross_entropy(*m.backbone.forward(m.inputs(m.backbone.batch(rows))), reduction="sum").backward()
        alone.append([p.grad for p in m.parameters()])
        m.zero_grad()
    sum(F.cross_entropy(*pair, reduction="sum") for pair in forward_methods(method_inputs(owned))).backward()
    for (method, _), gradients in zip(owned, alone, strict=True):
        for p, gradient in zip(method.parameters(), gradients, strict=True):
            assert torch.allclose(p.grad, gradient, atol=1e-4, rtol=1e-4), type(method).__name__


def test_a_method_acts_on_its_own_backbone_alone():
    backbone = make_backbone("gpt2")
    rows = backbone.encode(examples_for(backbone))
    with torch.no_grad():
        untouched = backbone.forward(backbone.batch(rows))[0]
        other = construct("adapter", beside(backbone))
        changed = other.backbone.forward(other.inputs(other.backbone.batch(rows)))[0]
        assert torch.equal(backbone.forward(backbone.batch(rows))[0], untouched)
    assert not torch.allclose(changed, untouched)


@pytest.mark.parametrize("name", ["ft", "ft_top2", "bitfit", "hf_peft"])
def test_what_changes_weights_of_the_backbone_is_refused(name):
    backbone = make_backbone("gpt2")
    methods = {"b": construct("pt", backbone), "a": construct(name, beside(backbone))}
    reason = (
        f"the method of a \\({type(methods['a']).__name__}\\) changes weights of the backbone itself, which every row"
    )
    with pytest.raises(ValueError, match=reason):
        check_methods(backbone, methods)


def test_methods_on_two_models_are_refused():
    methods = {"a": construct("pt", make_backbone("gpt2")), "b": construct("lora", make_backbone("gpt2"))}
    with pytest.raises(ValueError, match=r"the method of b \(LoRA\) is on another model"):
        check_methods(methods["a"].backbone, methods)


def test_two_methods_on_the_same_rows_are_refused():
    backbone = make_backbone("gpt2")
    methods = {"a": construct("pt", backbone), "b": construct("lora", backbone)}
    with pytest.raises(ValueError, match="two methods are on one and the same backbone"):
        check_methods(backbone, methods)


def test_the_methods_of_the_papers_share_batches():
    named = {"pt", "spt", "dept", "prefix", "lora", "adapter", "ia3", "compacter"}
    assert all(named <= set(names) for names in SHARING.values())
