import pytest
import torch
import torch.nn.functional as F

from peft_cli.method.pt import PT
from tests.conftest import D_MODEL, EXAMPLES, examples_for, make_backbone, three_equal_steps


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
def test_three_steps_are_those_of_hf_peft(family):
    from peft import PromptTuningConfig, get_peft_model

    ours, theirs = make_backbone(family), make_backbone(family)
    method = make(ours)
    model = get_peft_model(theirs.model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    (embedding,) = [p for p in model.parameters() if p.requires_grad]
    embedding.data.copy_(method.prompt.data)
    batch = ours.batch(ours.encode(examples_for(ours)))  # padded on the right, where HF peft is right too
    optimizers = [torch.optim.AdamW([p], lr=1e-2) for p in (method.prompt, embedding)]
    three_equal_steps(ours, method, model, batch, optimizers, lambda: [(method.prompt.grad, embedding.grad)])


def test_hf_peft_is_wrong_on_gpt2_padded_on_the_left_and_this_is_not():
    """The formula is [P; X] of one row, without padding, straight through the model."""
    from peft import PromptTuningConfig, get_peft_model

    ours, theirs = make_backbone("gpt2"), make_backbone("gpt2")
    method = make(ours)
    rows = ours.encode(examples_for(ours))
    with torch.no_grad():
        formula = [
            ours.model(inputs_embeds=torch.cat([method.prompt, ours.embedding(torch.tensor(row.source))])[None])
            for row in rows
        ]
    expected = torch.stack([out.logits[0, -1] for out in formula])
    batch = ours.batch(rows, training=False)
    options = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_logits": True, "num_beams": 1}
    assert torch.allclose(ours.generate(method.inputs(batch), **options).logits[0], expected, atol=1e-5)
    model = get_peft_model(theirs.model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    next(p for p in model.parameters() if p.requires_grad).data.copy_(method.prompt.data)
    with torch.no_grad():
        last = model(**batch.tensors()).logits[:, -1]
    is_right = torch.isclose(last, expected, atol=1e-3).all(-1)
    longest = max(len(row.source) for row in rows)
    assert is_right.tolist() == [len(row.source) == longest for row in rows]  # right where nothing is padded


def test_hf_peft_has_rows_on_t5_that_never_train_and_this_has_none():
    from peft import PromptTuningConfig, get_peft_model

    ours, theirs = make_backbone("t5"), make_backbone("t5")
    method = make(ours)
    model = get_peft_model(theirs.model, PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4))
    (embedding,) = [p for p in model.parameters() if p.requires_grad]
    assert embedding.shape == (8, D_MODEL) and method.prompt.shape == (4, D_MODEL)
    embedding.data[:4] = method.prompt.data
    batch = ours.batch(ours.encode(examples_for(ours)))
    loss, expected = F.cross_entropy(*ours.forward(method.inputs(batch))), model(**batch.tensors()).loss
    loss.backward(), expected.backward()
    assert torch.allclose(loss, expected, atol=1e-5)
    assert torch.allclose(embedding.grad[:4], method.prompt.grad, atol=1e-5) and not embedding.grad[4:].any()


@torch.no_grad()
def test_a_prompt_that_was_changed_where_it_is_runs_again():
    backbone = make_backbone("gpt2")
    method = PT(backbone, length=3, init="random", text=None, lr=0.1)
    batch = backbone.batch(backbone.encode(EXAMPLES))
    before = backbone.forward(method.inputs(batch))[0]
    method.prompt += 1
    assert not torch.allclose(backbone.forward(method.inputs(batch))[0], before)
