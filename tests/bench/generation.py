"""Row 6: beam search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from peft_cli.backbone import Backbone, Encoded
from peft_cli.config.targets import build
from peft_cli.method import Method
from tests.bench import peers
from tests.bench.compare import Writing, compare
from tests.bench.lines import Line, Settings
from tests.bench.models import backbone, composed, model, rows, stir

SOURCE, WRITTEN = 40, 20  # tokens read and written; none is padding, which HF peft gets wrong on the left
BEAM = {"num_beams": 5, "max_new_tokens": WRITTEN, "min_new_tokens": WRITTEN}
CHOICES = {
    "prompt, P = 100": (2.0, ("method=pt", "method.init=random")),
    "prefix, P = 10": (1.1, ("method=prefix", "method.length=10", "method.bottleneck=null")),
    "adapter": (1.0, ("method=adapter",)),
}


def row_6(settings: Settings) -> list[Line]:
    """Generation with each of the three."""
    return [line for name in CHOICES for line in beams(name, settings)]


def beams(name: str, settings: Settings) -> list[Line]:
    """One of them against HF peft, or the same modules in a plain model."""
    at_least, overrides = CHOICES[name]
    place, other = (backbone("gpt2", settings) for _ in range(2))
    method, _ = (attached(one, overrides) for one in (place, other))
    batch = rows(8, SOURCE, 1, place)
    peer = peers.wrapped(method, model("gpt2", settings)) if method.export() else other.model
    line = Line(6, f"beam 5, {WRITTEN} tokens, {name}, GPT-2 small, B = 8, sources of {SOURCE}", at_least)
    return compare(Writing(theirs(peer, place, batch)), {name: Writing(ours(method, batch))}, {name: line}, 2, settings)


def attached(place: Backbone, overrides: tuple[str, ...]) -> Method:
    """A method with tensors that matter."""
    torch.manual_seed(0)
    method = build(composed(*overrides)["method"], "method", backbone=place).eval()
    stir(method)
    return method.requires_grad_(False)


def theirs(peer: object, place: Backbone, batch: list[Encoded]) -> Callable[[], Tensor]:
    """What the model of the other side writes."""
    inputs = place.collate(batch, training=False).tensors()

    def write() -> Tensor:
        written = peer.generate(**inputs, **BEAM, do_sample=False, pad_token_id=place.pad)
        return written[:, inputs["input_ids"].shape[1] :]

    return write


def ours(method: Method, batch: list[Encoded]) -> Callable[[], Tensor]:
    """What this package writes, with the prompt computed anew as at the begin of a run."""

    def write() -> Tensor:
        method.backbone.known_prompt = None
        return method.backbone.generate(method.inputs(method.backbone.batch(batch, training=False)), **BEAM)

    return write
