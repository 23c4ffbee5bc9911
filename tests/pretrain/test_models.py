"""The backbones that ship with the package."""

import json
import math
import re

import pytest

from peft_cli.backbone import Backbone
from peft_cli.backbone.loading import EMBEDDED, load_backbone
from peft_cli.config.options import options
from peft_cli.evaluate import Decoding, predict
from peft_cli.method import Method
from peft_cli.pretrain.architectures import ARCHITECTURES, D_MODEL, VOCABULARY
from tests.conftest import examples_for

GREEDY = Decoding(
    beams=1, length_penalty=1.0, max_new_tokens=8, min_new_tokens=0, no_repeat_ngram=0, batch_size=4
)  # fmt: skip
SHIPPED = [name for name in options("backbone") if name.startswith("tiny-")]


@pytest.fixture(params=SHIPPED)
def name(request) -> str:
    return request.param


def loaded(name: str) -> Backbone:
    classes = ("bad", "good") if ARCHITECTURES[name].objective == "masked" else ()
    return load_backbone(name, classes, device="cpu", max_source_tokens=64, max_target_tokens=16)


def test_an_embedded_backbone_loads_and_predicts(name):
    backbone = loaded(name)
    assert backbone.d_model == D_MODEL and len(backbone.tokenizer) <= VOCABULARY
    examples = examples_for(backbone)
    texts = predict(backbone, Method(backbone, lr=1.0), examples, GREEDY).texts
    assert len(texts) == len(examples) and all(isinstance(text, str) for text in texts)


def test_a_card_has_the_numbers_of_the_log_and_of_the_weights(name):
    card = (EMBEDDED / name / "README.md").read_text(encoding="utf-8")
    written = json.loads((EMBEDDED / name / "log.json").read_text())
    backbone = loaded(name)
    head = sum(p.numel() for _, p in backbone.head())
    books = written["held_out"]["books"]
    (weights,) = re.findall(r"([\d,]+) weights", card)
    assert f"{written['log'][-1]['tokens']:,} in {written['log'][-1]['step']:,} steps" in card
    assert f"{books:.3f} nats a token, perplexity {math.exp(books):.1f}" in card
    assert backbone.family.head or int(weights.replace(",", "")) == backbone.n_parameters - head
    assert f"backbone={name} " in card and "Apache-2.0" in card and (EMBEDDED / name / "curve.png").exists()


def test_the_weights_are_small():
    sizes = [(EMBEDDED / name / "model.safetensors").stat().st_size for name in SHIPPED]
    assert max(sizes) <= 8e6 and sum(sizes) <= 32e6
