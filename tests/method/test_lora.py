import pytest
import torch
import torch.nn.functional as F

from peft_cli.method.lora import LoRA
from tests.conftest import D_MODEL, LAYERS, examples_for, make_backbone

TARGETS = {  # our parts, and HF peft's names of the same maps
    "gpt2": (["attention_output"], ["attn.c_proj"]),
    "llama": (["query", "value"], ["q_proj", "v_proj"]),
    "bart": (["query", "value"], ["q_proj", "v_proj"]),
    "t5": (["query", "value"], ["q", "v"]),
}


def make(backbone, parts, rank=2, alpha=8):
    torch.manual_seed(0)
    return LoRA(backbone, rank=rank, alpha=alpha, dropout=0.0, parts=parts, lr=1e-2)


@pytest.mark.parametrize("family", TARGETS)
def test_three_steps_are_those_of_hf_peft(family):
    from peft import LoraConfig, get_peft_model

    parts, names = TARGETS[family]
    ours, theirs = make_backbone(family), make_backbone(family)
    method = make(ours, parts)
    config = LoraConfig(r=2, lora_alpha=8, lora_dropout=0.0, target_modules=names, fan_in_fan_out=family == "gpt2")
    model = get_peft_model(theirs.model, config)
    theirs_by_module = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            theirs_by_module.setdefault(name.split(".lora_")[0], {})[name.split(".lora_")[1][0]] = p
    pairs = []
    for i, linear in enumerate(ours.linears(*parts)):
        place = next(name for name, module in ours.model.named_modules() if module is linear.module)
        (pair,) = [pair for name, pair in theirs_by_module.items() if name.endswith("." + place)]
        pair["A"].data.copy_(method.A[i].data)
        pair["B"].data.normal_(std=0.1)
        method.B[i].data.copy_(pair["B"].data)
        pairs.append(pair)
    batch = ours.batch(ours.encode(examples_for(ours)))
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (method, model)]
    for _ in range(3):
        logits, targets = ours.forward(method.inputs(batch))
        losses = [F.cross_entropy(logits, targets), model(**batch.tensors()).loss]
        assert torch.allclose(*losses, atol=1e-5)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
        for i, pair in enumerate(pairs):
            assert torch.allclose(method.A[i].grad, pair["A"].grad, atol=1e-5)
            assert torch.allclose(method.B[i].grad, pair["B"].grad, atol=1e-5)
        for optimizer in optimizers:
            optimizer.step()


def test_gpt2s_query_and_value_have_tensors_of_their_own():
    method = make(make_backbone("gpt2"), ["query", "value"], rank=3)
    assert sum(p.numel() for p in method.parameters()) == LAYERS * 2 * 3 * (D_MODEL + D_MODEL)
    assert all(b.shape == (D_MODEL, 3) for b in method.B)


def test_dropout_acts_in_training_only():
    backbone = make_backbone("gpt2")
    method = LoRA(backbone, rank=2, alpha=8, dropout=0.5, parts=["query"], lr=1e-2)
    torch.nn.init.normal_(method.B[0])
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    for training in (True, False):
        method.train(training)
        first, second = (backbone.forward(batch)[0] for _ in range(2))
        assert torch.equal(first, second) != training


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="gpt2 has no part 'qkv'; it has query, key"):
        make(make_backbone("gpt2"), ["qkv"])


@pytest.mark.parametrize("parts", [[], ["query", "query"]])
def test_no_part_or_one_named_twice_is_refused(parts):
    with pytest.raises(
        ValueError, match=r"^method\.parts=\[.*\] has to name at least one of query, key, .*, each once$"
    ):
        make(make_backbone("gpt2"), parts)
