"""Starts that cannot be: each is one sentence."""

import pytest

from peft_cli.method.dept import DePT
from peft_cli.method.prefix import Prefix
from peft_cli.method.pt import PT
from peft_cli.method.spt import SPT
from peft_cli.method.unipelt import UniPELT
from tests.conftest import make_backbone
from tests.families import make_family

FROM_TEXT = {
    "pt": lambda backbone, text: PT(backbone, 3, "text", text, lr=0.1),
    "spt": lambda backbone, text: SPT(backbone, 3, "text", text, "prompt", "d_model", lr=0.1, scale_lr=0.1),
    "dept": lambda backbone, text: DePT(
        backbone, None, 3, 2, 24, "code", "position", "text", text, lr=0.1, offset_lr=0.1
    ),
    "prefix": lambda backbone, text: Prefix(backbone, 3, None, "text", text, "front", False, lr=0.1),
}


@pytest.mark.parametrize("method", FROM_TEXT)
@pytest.mark.parametrize("text", [" ", "  \t"])
def test_a_text_without_a_token_is_refused(backbone, method, text):
    with pytest.raises(ValueError, match=r"^method\.text='.*' has no token of this backbone; give words, or another"):
        FROM_TEXT[method](backbone, text)


@pytest.mark.parametrize("method", FROM_TEXT)
@pytest.mark.parametrize("text", ["", None])
def test_a_start_from_a_text_needs_one(method, text):
    with pytest.raises(ValueError, match="a text goes with init=text, and only with it"):
        FROM_TEXT[method](make_backbone("gpt2"), text)


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_short_text_is_repeated_and_a_long_one_cut(length):
    backbone = make_backbone("t5")
    prompt = PT(backbone, length, "text", "name : Blue", lr=0.1).prompt
    ids = (backbone.encoder.ids("name : Blue") * 3)[:length]
    assert prompt.tolist() == backbone.model.get_input_embeddings().weight[ids].tolist()


def test_a_prompt_of_no_vectors_may_start_from_a_text():
    assert DePT(make_backbone("t5"), None, 0, 2, 24, "code", "position", "text", "name", 0.1, 0.1).prompt.shape[0] == 0


@pytest.mark.parametrize("family", ["gpt_neo", "deberta-v2"])
@pytest.mark.parametrize(("name", "make"), [
    ("Prefix", lambda backbone: Prefix(backbone, 3, None, "random", None, "front", False, lr=0.1)),
    ("UniPELT", lambda backbone: UniPELT(backbone, 3, None, 2, "normed", 4, "relu", False, lr=0.1)),
])  # fmt: skip
def test_a_prefix_is_refused_where_attention_cannot_be_changed(family, name, make):
    with pytest.raises(
        ValueError, match=rf"^{name} puts keys and values into attention, and {family} has none that can"
    ):
        make(make_family(family))
