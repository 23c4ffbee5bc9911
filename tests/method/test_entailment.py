"""What entailment, DART and LM-BFF have beside the contract."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from peft_cli.backbone.tokenization import Encoder
from peft_cli.data import Example, Hypothesis
from peft_cli.forms.templates import AT_MASK
from peft_cli.method.dart import DART
from peft_cli.method.entailment import Entailment
from peft_cli.method.lm_bff import LMBFF
from peft_cli.method.pt import PT
from peft_cli.serving.multi_method import forward_methods, method_inputs
from peft_cli.serving.shared_rows import share_weights
from peft_cli.train import batch_loss, step
from tests.conftest import CLASSES, EXAMPLES, HYPOTHESIS, NLI, make_backbone
from tests.method.test_contract import RECIPE, take_steps

OPTIONS = {
    "tokens": 3, "sides": "one", "trains": "both", "head": "frozen", "fluency": 0.0, "on_top": None, "options": None,
    "lr": 0.01,
}  # fmt: skip
D, WORDS, LABEL = 16, 4, 1  # d_model; tokens of the template's words and of the second label in conftest's hypothesis
HEAD = D * D + D + 3 * D + 3
THREE = Hypothesis("The food is {label} .", ("good", "bad", "of place"))


def entailment(backbone=None, **changes):
    torch.manual_seed(1)
    return Entailment(backbone or make_backbone("roberta", form="entailment"), **OPTIONS | changes)


def dart(backbone=None, **changes):
    torch.manual_seed(1)
    options = {key: value for key, value in OPTIONS.items() if key != "head"}
    return DART(backbone or make_backbone("roberta", form="mask"), **options | changes)


def logits(method, examples=CLASSES):
    backbone = method.backbone
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples))))[0]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, (3 + WORDS + LABEL) * D),
        ({"trains": "labels"}, LABEL * D),
        ({"trains": "template"}, (3 + WORDS) * D),
        ({"trains": "labels", "head": "trained"}, LABEL * D + HEAD),
        ({"trains": "nothing", "head": "fresh"}, D * D + D + D + 1),
        ({"on_top": "lora", "options": {"rank": 2}}, (3 + WORDS + LABEL) * D + 2 * 2 * (2 * 2 * D)),
    ],
)
def test_the_weights_are_those_of_what_is_trained(changes, count):
    assert sum(p.numel() for p in entailment(**changes).parameters()) == count


def test_the_trained_tokens_start_in_the_range_of_embeddings_and_the_words_as_copies():
    method = entailment()
    table = method.backbone.model.get_input_embeddings().weight
    ids = method.templates.before + method.templates.after
    assert torch.equal(method.template[3:], table[ids]) and torch.equal(
        method.labels, table[method.templates.labels[0]]
    )
    assert (method.template[:3].abs() <= table.abs().max()).all() and method.template[:3].std() > 0.1


def test_without_trained_tokens_step_0_is_zero_shot():
    untouched = make_backbone("roberta", form="entailment")
    plain = untouched.forward(untouched.batch(untouched.encode(CLASSES)))[0]
    method = entailment(tokens=0)
    assert torch.allclose(logits(method), plain, atol=1e-5) and method.starts_neutral


def test_a_two_sided_template_has_its_second_half_behind_the_label():
    method = entailment(sides="two", tokens=5)
    slots = method.backbone.batch(method.backbone.encode(CLASSES[1:2])).slots[0]
    assert slots[slots >= 0].tolist() == [0, 1, 2, 3, 4, 5, 9, 6, 7, 8]  # t t t The place is LABEL t t .


def test_only_tokens_of_the_hypothesis_are_replaced():
    method = entailment()
    batch = method.backbone.batch(method.backbone.encode(CLASSES))
    changed = (method.inputs(batch).embeds != method.backbone.embed(batch).embeds).any(-1)
    assert torch.equal(changed, (batch.slots >= 0) & (batch.slots < 3))  # the words are copies at step 0
    with torch.no_grad():
        method.labels += 1
    changed = (method.inputs(batch).embeds != method.backbone.embed(batch).embeds).any(-1)
    assert torch.equal(changed, ((batch.slots >= 0) & (batch.slots < 3)) | (batch.slots == 3 + WORDS))


def test_the_vocabulary_is_bit_equal_after_steps_with_weight_decay():
    method = entailment(on_top="adapter", options={"reduction": 8})
    table = method.backbone.model.get_input_embeddings().weight
    before = table.detach().clone()
    take_steps(method.backbone, method)
    assert torch.equal(table, before) and not torch.equal(method.labels, before[method.templates.labels[0]])


@pytest.mark.parametrize("on_top", ["adapter", "lora", "bitfit", "ft", "ft_top2"])
@pytest.mark.parametrize("make", [entailment, dart])
def test_a_method_on_top_trains_along_and_is_restored(make, on_top, tmp_path):
    method = make(on_top=on_top)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    take_steps(method.backbone, method)
    after = method.state_dict()
    assert all(not torch.equal(after[name], p) for name, p in before.items())
    assert {"template", "labels"} < set(before) and any(name.startswith("on_top.") for name in before)
    save_file({name: tensor.contiguous() for name, tensor in after.items()}, tmp_path / "method.safetensors")
    other = make(on_top=on_top)
    other.load_state_dict(load_file(tmp_path / "method.safetensors"))
    assert torch.equal(logits(other), logits(method))


def test_the_parts_have_learning_rates_of_their_own():
    groups = entailment(on_top="lora", options={"lr": 0.5}).param_groups()
    assert [group["lr"] for group in groups] == [0.01, 0.5] and len(groups[0]["params"]) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"on_top": "pt"}, r"method\.on_top=pt puts something into the input itself"),
        ({"on_top": "loar"}, "there is no method=loar"),
        ({"on_top": "lora", "options": {"rnak": 2}}, r"method\.options has no key rnak"),
        ({"options": {"rank": 2}}, r"method\.options={'rank': 2} are of the method on top, and method.on_top is null"),
        ({"trains": "nothing"}, "trains nothing; add a method.on_top"),
    ],
)
def test_what_cannot_be_is_told(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        entailment(**changes)


def test_a_backbone_that_has_not_learnt_nli_is_told_or_gets_a_fresh_head():
    def unlearnt():
        return make_backbone("roberta", form="entailment", nli=("LABEL_0",))

    with pytest.raises(
        ValueError, match="needs a backbone trained on NLI, and the classes of this one are LABEL_0; train"
    ):
        entailment(unlearnt())
    method = entailment(unlearnt(), head="fresh")
    assert sum(p.numel() for p in method.adopted.values()) == D * D + D + D + 1


def gradients(make, **changes):
    method = make(**changes)
    torch.manual_seed(3)
    loss = step(method.backbone, method, method.backbone.encode(CLASSES), RECIPE)
    return loss, method.template.grad.clone(), method


@pytest.mark.parametrize("make", [entailment, dart])
def test_the_fluency_loss_changes_gradients_when_it_is_on_and_nothing_when_off(make):
    off, without, _ = gradients(make)
    on, with_it, method = gradients(make, fluency=0.5)
    assert on > off and not torch.allclose(with_it, without, atol=1e-4)
    method.eval()
    rows = method.backbone.encode(CLASSES)
    own = batch_loss(method.backbone, method, method.backbone.batch(rows)).item() / len(rows)
    assert own == pytest.approx(off, abs=1e-5)  # as validation has it
    assert torch.equal(gradients(make)[1], without)


def test_the_fluency_loss_hides_tokens_of_the_sentence_alone(monkeypatch):
    method, seen = entailment(fluency=1.0), []
    plain = method.inputs
    monkeypatch.setattr(method, "inputs", lambda batch: (seen.append(batch), plain(batch))[1])
    batch = method.backbone.batch(method.backbone.encode(CLASSES))
    torch.manual_seed(0)
    assert method.extra_loss(batch) > 0
    (read,) = seen
    changed = read.input_ids != batch.input_ids
    special = torch.isin(batch.input_ids, torch.tensor(method.backbone.tokenizer.all_special_ids))
    assert changed.any() and not (changed & (special | (batch.slots != -1))).any()
    assert set(read.input_ids[changed].tolist()) == {method.backbone.tokenizer.mask_token_id}


def test_the_fluency_loss_reads_the_hypothesis_of_the_right_class():
    labels = ("a", "b", "c")
    backbone = make_backbone("roberta", form="entailment", hypothesis=THREE, labels=labels)
    method = entailment(backbone, fluency=1.0)
    rows = backbone.encode([Example(str(i), EXAMPLES[1].source, (label,)) for i, label in enumerate("cab")])
    ids = method.of_own_class(backbone.batch(rows)).ids
    texts = [backbone.tokenizer.decode(own) for own in ids]
    assert all(f"is {word}" in text for word, text in zip(("of", "good", "bad"), texts, strict=True))


def test_a_checkpoint_without_a_words_head_is_told():
    backbone = make_backbone("roberta", form="entailment")

    def refuse():
        raise ValueError("backbone.name=x has no head that predicts words")

    backbone.read_words_head = refuse
    with pytest.raises(ValueError, match="has no head that predicts words"):
        entailment(backbone, fluency=0.05)


def test_tasks_asked_by_entailment_share_a_batch_with_others():
    backbone = make_backbone("roberta", form="entailment")
    encoder = Encoder(backbone.tokenizer, backbone.family, None, 24, 12, ("good", "bad"))
    first = entailment(backbone)
    second = entailment(share_weights(backbone), tokens=5, on_top="lora")
    prompted = PT(share_weights(backbone, encoder), 4, "random", None, lr=0.1)
    methods = {"a": first, "b": second, "c": prompted}
    for i, method in enumerate(methods.values()):
        torch.manual_seed(i)
        for p in method.parameters():
            p.data += 0.3 * torch.randn_like(p)
    parts = [(method, method.backbone.encode(CLASSES)) for method in methods.values()]
    apart = [logits(method) for method in methods.values()]
    with torch.no_grad():
        together = [own for own, _ in forward_methods(method_inputs(parts))]
    assert all(method.shares_batches for method in methods.values())
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(apart, together, strict=True))
    assert not entailment(head="trained").shares_batches and not entailment(on_top="bitfit").shares_batches


def test_darts_labels_at_step_0_are_lm_bffs():
    assert torch.allclose(logits(dart(tokens=0)), logits(LMBFF(make_backbone("roberta", form="mask"), 1e-3)), atol=1e-5)


def test_a_labels_vector_is_the_mean_of_its_tokens():
    backbone = make_backbone("roberta", form="mask", hypothesis=THREE, labels=("a", "b", "c"))
    method = dart(backbone)
    vectors = method.inputs(backbone.batch([backbone.encode([Example("0", "name", ("a",))])[0]])).label_vectors
    assert method.labels.shape == (4, D) and torch.allclose(vectors[2], method.labels[2:].mean(0))


def test_behind_a_prompt_the_mask_is_found():
    backbone = make_backbone("roberta", form="mask")
    batch = backbone.batch(backbone.encode(CLASSES))
    moved = backbone.prepend(backbone.embed(batch), torch.randn(3, D))
    full = backbone.model(**moved.model_inputs()).logits
    at_mask = torch.stack(
        [row[3 + places.int().argmax()] for row, places in zip(full, batch.slots == AT_MASK, strict=True)]
    )
    ids = [label[0] for label in backbone.encoder.form.labels]
    assert torch.allclose(backbone.forward(moved)[0], at_mask[:, ids], atol=1e-5)


def test_the_order_of_the_nli_classes_does_not_matter():
    scores = []
    for order in (NLI, NLI[::-1]):
        backbone = make_backbone("roberta", form="entailment", nli=order)
        head = backbone.model.classifier.out_proj
        places = [order.index(name) for name in NLI]
        with torch.no_grad():
            head.weight[places] = torch.linspace(-1, 1, 3 * D).view(3, D)
        scores.append(logits(entailment(backbone)))
    assert torch.allclose(*scores, atol=1e-5) and HYPOTHESIS.words[1] == "cheap"
