import pytest
import torch

from peft_cli.method.hf_peft import HFPeft
from peft_cli.method.lora import LoRA
from tests.conftest import examples_for, make_backbone


def test_its_lora_is_ours_on_the_same_tensors():
    ours, theirs = make_backbone("t5"), make_backbone("t5")
    torch.manual_seed(0)
    own = LoRA(ours, rank=2, alpha=8, dropout=0.0, parts=["query", "value"], lr=1e-2)
    bridge = HFPeft(theirs, "lora", {"r": 2, "lora_alpha": 8, "target_modules": ["q", "v"]}, lr=1e-2)
    assert sum(p.numel() for p in bridge.parameters()) == sum(p.numel() for p in own.parameters())
    for i, linear in enumerate(ours.linears("query", "value")):
        name = ours.name_of(linear.module).replace(".", "/")
        own.B[i].data.normal_()
        bridge.adopted[f"{name}/lora_A/default/weight"].data.copy_(own.A[i].data)
        bridge.adopted[f"{name}/lora_B/default/weight"].data.copy_(own.B[i].data)
    batch = ours.batch(ours.encode(examples_for(ours)))
    assert torch.allclose(ours.forward(own.inputs(batch))[0], theirs.forward(bridge.inputs(batch))[0], atol=1e-5)


def test_adalora_has_the_rank_that_is_asked_for():
    method = HFPeft(make_backbone("gpt2"), "adalora", {"r": 8}, lr=1e-2)
    assert {len(p) for name, p in method.adopted.items() if "lora_E" in name} == {8}


@pytest.mark.parametrize(("type", "family", "reason"), [
    ("poly", "t5", "HF peft cannot use method.type=poly on t5: task_ids should not be None."),
    ("shadow", "gpt2", "method.type=shadow cannot train on gpt2: 8 of its 20 tensors have no part"),
    ("osf", "gpt2", "method.type=osf cannot train on gpt2: it finds nothing there"),
    ("oft", "gpt2", r"HF peft cannot use method.type=oft on gpt2: Target module Conv1D\(.*\) is not supported"),
])  # fmt: skip
def test_a_type_that_cannot_work_says_so(type, family, reason):
    with pytest.raises(ValueError, match=reason):
        HFPeft(make_backbone(family), type, {}, lr=1e-2)


def test_its_dropout_acts_in_training_only():
    backbone = make_backbone("gpt2")
    method = HFPeft(backbone, "lora", {"r": 2, "lora_dropout": 0.5, "init_lora_weights": False}, lr=1e-2)
    batch = backbone.batch(backbone.encode(examples_for(backbone)))
    for training in (True, False):
        method.train(training)
        assert not backbone.model.training
        assert torch.equal(*(backbone.forward(batch)[0] for _ in range(2))) != training


@pytest.mark.parametrize("type", ["ia3", "vera", "loha", "lokr", "oft", "ln_tuning"])
def test_other_types_own_what_they_train(type):
    backbone = make_backbone("bart")
    before = backbone.n_parameters
    options = {"oft": {"oft_block_size": 4}, "loha": {"r": 2}, "lokr": {"r": 2}, "vera": {"r": 2}}.get(type, {})
    targets = {} if type == "ln_tuning" else {"target_modules": ["q_proj", "v_proj"]}
    if type == "ia3":
        targets["feedforward_modules"] = []
    method = HFPeft(backbone, type, options | targets, lr=1e-2)
    owned = {id(p) for p in method.parameters()}
    assert owned == {id(p) for p in backbone.model.parameters() if p.requires_grad} and backbone.n_parameters == before
    assert 0 < sum(p.numel() for p in method.parameters()) < before / 4


def test_an_unknown_type_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"method\.type=lroa is no type of HF peft .* lora,"):
        HFPeft(make_backbone("gpt2"), "lroa", {}, lr=1e-2)


def test_prompts_of_hf_peft_are_refused():
    with pytest.raises(ValueError, match=r"prompt_tuning puts vectors in front of the input, .* take method=pt"):
        HFPeft(make_backbone("gpt2"), "prompt_tuning", {}, lr=1e-2)


@pytest.mark.parametrize("options", [{"rank": 3}, {"r": -1}])
def test_options_that_it_has_not_got_are_refused(options):
    with pytest.raises(ValueError, match=r"HF peft cannot use method\.type=lora on gpt2"):
        HFPeft(make_backbone("gpt2"), "lora", options, lr=1e-2)
