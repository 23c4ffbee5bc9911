import pytest
import torch

from peft_cli.method.pt import PT
from tests.conftest import D_MODEL, examples_for, make_backbone


def make(backbone, init="vocabulary", text=None, length=4):
    torch.manual_seed(0)
    return PT(backbone, length=length, init=init, text=text, lr=0.1)


def test_it_trains_p_times_d_model_numbers(backbone):
    head = sum(p.numel() for _, p in backbone.head())
    assert sum(p.numel() for p in make(backbone).parameters()) == 4 * D_MODEL + head


def test_a_vocabulary_sample_is_distinct_embeddings(backbone):
    table = backbone.embedding(torch.arange(backbone.config.vocab_size))
    near = torch.cdist(make(backbone).prompt, table).argmin(-1)
    assert torch.allclose(table[near], make(backbone).prompt) and len(set(near.tolist())) == 4


def test_a_text_is_repeated_to_the_length():
    backbone = make_backbone("gpt2")
    ids = torch.tensor(backbone.encoder.ids("price : cheap") * 2)[:4]
    assert torch.equal(make(backbone, "text", "price : cheap").prompt, backbone.embedding(ids))


def test_a_random_start_is_within_its_bounds(backbone):
    prompt = make(backbone, "random", length=50 if backbone.family.positions is None else 10).prompt
    assert prompt.abs().max() <= 0.5 and prompt.std() > 0.2


@pytest.mark.parametrize(("init", "text"), [("text", None), ("vocabulary", "words"), ("text", "")])
def test_a_text_goes_with_init_text_only(init, text):
    with pytest.raises(ValueError, match="a text goes with init=text, and only with it"):
        make(make_backbone("gpt2"), init, text)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_loss_and_gradient_are_those_of_hf_peft(family):
    from peft import PromptTuningConfig, get_peft_model

    ours, theirs = make_backbone(family), make_backbone(family)
    method = make(ours)
    model = get_peft_model(theirs.model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    (embedding,) = [p for p in model.parameters() if p.requires_grad]
    embedding.data.copy_(method.prompt.data)
    batch = ours.batch(ours.encode(examples_for(ours)))  # padded on the right, where HF peft is right too
    logits, targets = ours.forward(method.inputs(batch))
    loss = torch.nn.functional.cross_entropy(logits, targets)
    expected = model(**batch).loss
    loss.backward(), expected.backward()
    assert torch.allclose(loss, expected, atol=1e-5) and torch.allclose(method.prompt.grad, embedding.grad, atol=1e-5)
