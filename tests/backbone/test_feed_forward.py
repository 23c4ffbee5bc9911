"""A block's feed-forward and its normalisation, in every family."""

import weakref
from functools import partial

import torch

from tests.conftest import LAYERS, examples_for


def run(backbone) -> None:
    with torch.no_grad():
        backbone.forward(backbone.batch(backbone.encode(examples_for(backbone))))


def test_a_block_returns_the_normalized_sum_of_what_enters_and_leaves_its_feed_forward(backbone):
    read, returned, wholes = [], [], []

    def record(x, y):
        read.append(x)
        returned.append(y)
        return y

    parts = backbone.feed_forwards()
    for part in parts:
        part.last.change_with(part.entry, record)
    for block in backbone.all_blocks():
        block.module.register_forward_hook(
            lambda module, args, out: wholes.append(out if torch.is_tensor(out) else out[0])
        )
    run(backbone)
    assert len(parts) == len(wholes) == LAYERS * len(backbone.family.stacks)
    for part, x, y, whole in zip(parts, read, returned, wholes, strict=True):
        assert torch.allclose(part.normalized_sum(x, y), whole, atol=1e-5)


def test_what_enters_the_first_map_is_normalized_where_the_norm_comes_first(backbone):
    seen: dict[str, torch.Tensor] = {}

    def keep(name, x):
        seen[name] = x
        return x

    part = backbone.feed_forwards()[0]
    part.entry.change_input(partial(keep, "entered"))
    part.first.change_input(partial(keep, "first"))
    run(backbone)
    comes_first = part.entry.module is part.norm.module
    expected = part.norm.module.forward(seen["entered"]) if comes_first else seen["entered"]
    assert torch.allclose(seen["first"], expected, atol=1e-6)


def test_what_was_read_is_let_go_after_the_pass(backbone):
    part, read = backbone.feed_forwards()[0], []

    def watch(x, y):
        read.append(weakref.ref(x))
        return y

    part.last.change_with(part.entry, watch)
    run(backbone)
    assert [reference() for reference in read] == [None]
