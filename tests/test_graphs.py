"""CUDA graphs: what they repeat, on any machine; the graphs themselves where there is a GPU."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from peft_cli.graphs import Graphs, Step, leaves, padded
from peft_cli.method.ft import FT
from peft_cli.speed import slow_down, speed_up
from peft_cli.train import backward, parts, scale, train
from tests.conftest import CONFIGS, examples_for, make_backbone
from tests.method.test_contract import PAIRS, form_of, make_method, stir
from tests.test_train import RECIPE

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
CAPTURED = [pair for pair in PAIRS if form_of(pair[0]) == "classes"]
pairs = pytest.mark.parametrize("pair", CAPTURED, ids=lambda pair: f"{pair[0].stem}-{pair[1]}")
RECIPE = replace(RECIPE, batch_size=3, validate_every=4)
WAITS = ("item", "_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh", "unique")  # for the device


def made(pair, device="cpu"):
    path, family = pair
    backbone = make_backbone(family)
    backbone.model.to(device).tie_weights()
    method = make_method(path, backbone)
    stir(method)
    return backbone, method, backbone.encode(examples_for(backbone))


class NothingWaits(TorchDispatchMode):
    """Fails at an operation whose result's shape or Python value is only known when the device has got there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in WAITS, name
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        assert not any(isinstance(i, Tensor) and i.dtype == torch.bool for i in indices), name
        return function(*args, **(kwargs or {}))


@pairs
def test_a_padded_step_has_the_loss_and_gradients_of_the_plain_one(pair):
    backbone, method, rows = made(pair)
    loss = backward(backbone, method, rows, RECIPE)
    expected = {name: p.grad.clone() for name, p in method.named_parameters()}
    for p in method.parameters():
        p.grad.zero_()
    batch, most = padded(backbone, rows)
    batch["total"] = torch.tensor(float(scale(rows, RECIPE)))
    same = Step(backbone, method)(batch, most)
    assert same.item() == pytest.approx(loss, rel=1e-5)
    assert all(torch.allclose(p.grad, expected[name], atol=1e-5) for name, p in method.named_parameters())


@pairs
def test_nothing_in_a_step_waits_for_the_device_or_comes_from_another(pair, monkeypatch):
    backbone, method, rows = made(pair, "meta")  # tensors without values, on a device of their own
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)  # as transformers asks in a capture
    batch, most = padded(backbone, rows)
    batch["total"] = torch.ones((), device="meta")
    with NothingWaits():
        Step(backbone, method)(batch, most)
    assert all(p.grad.device.type == "meta" for p in method.parameters())


@pytest.mark.parametrize("family", CONFIGS)
def test_what_is_frozen_is_padded_too(family):
    backbone = make_backbone(family)
    method = FT(backbone, top_blocks=1, output_embedding=False, lr=0.01)
    rows = backbone.encode(examples_for(backbone))
    expected = backward(backbone, method, rows, RECIPE)
    speed_up(backbone, method, rows, RECIPE)
    batch, most = padded(backbone, rows)
    assert batch["frozen"]
    batch["total"] = torch.tensor(float(scale(rows, RECIPE)))
    assert Step(backbone, method).loss(batch, most).item() == pytest.approx(expected, rel=1e-5)
    slow_down(backbone)


@pytest.mark.parametrize("family", CONFIGS)
def test_batches_share_a_few_shapes_and_none_is_longer_than_the_backbone_reads(family):
    backbone = make_backbone(family)
    row = backbone.encode(examples_for(backbone))[0]
    shapes = set()
    for n in range(1, backbone.encoder.max_source_tokens + 1):
        batch, most = padded(backbone, [replace(row, source=row.source[:1] * n), row])
        shapes.add((most, *(tensor.shape for _, tensor in leaves(batch))))
        limit = backbone.encoder.max_source_tokens + backbone.encoder.max_target_tokens
        assert batch["input_ids"].shape[1] <= limit
        assert most is None or most >= 2 * len(row.target)
    assert len(shapes) <= 3


def test_without_a_gpu_they_are_refused():
    backbone, method, _ = made(PAIRS[0])
    with pytest.raises(ValueError, match=r"train.cuda_graphs=true is for a GPU, and the backbone is on cpu; take"):
        Graphs(backbone, method)


def test_they_are_refused_beside_checkpointing():
    backbone, method, rows = made(PAIRS[0])
    with pytest.raises(ValueError, match="take one of them"):
        speed_up(backbone, method, rows, replace(RECIPE, cuda_graphs=True, checkpointing=True))


@gpu
@pairs
def test_a_graph_adds_the_plain_ways_gradients(pair):
    backbone, method, rows = made(pair, "cuda")
    add = Graphs(backbone, method)
    for batch in (rows, rows[:2], rows[1:], rows):  # captured, of other shapes, and repeated
        method.zero_grad()
        loss = backward(backbone, method, batch, RECIPE)
        expected = {name: p.grad.clone() for name, p in method.named_parameters()}
        for p in method.parameters():
            p.grad.zero_()
        assert backward(backbone, method, batch, RECIPE, add) == pytest.approx(loss, rel=1e-5)
        assert all(torch.allclose(p.grad, expected[name], atol=1e-5) for name, p in method.named_parameters())


@gpu
@pairs
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_with_graphs_is_the_run_without(pair, accumulation):
    logs = []
    for cuda_graphs in (False, True):
        backbone, method, _ = made(pair, "cuda")
        torch.manual_seed(0)
        examples, log = examples_for(backbone), []
        recipe = replace(RECIPE, accumulation=accumulation, cuda_graphs=cuda_graphs)
        train(backbone, method, examples, examples[:2], recipe, None, log.append)
        logs.append(torch.tensor([row.get("loss", row.get("validation_loss")) for row in log]))
    assert torch.allclose(*logs, atol=1e-3)


@gpu
def test_parts_of_other_shapes_add_up_in_one_step():
    backbone, method, rows = made(PAIRS[0], "cuda")
    add, recipe = Graphs(backbone, method), replace(RECIPE, accumulation=3)
    assert len(parts(rows, 3)) == 3
    loss = backward(backbone, method, rows, RECIPE)
    expected = [p.grad.clone() for p in method.parameters()]
    for p in method.parameters():
        p.grad.zero_()
    assert backward(backbone, method, rows, recipe, add) == pytest.approx(loss, rel=1e-5)
    assert all(torch.allclose(p.grad, e, atol=1e-5) for p, e in zip(method.parameters(), expected, strict=True))
