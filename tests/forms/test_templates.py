"""Templates as ids, and what an encoder says of them."""

import json
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig

from peft_cli.backbone.loading import load_backbone
from peft_cli.backbone.new_head import entailment_index
from peft_cli.data import Example, Hypothesis
from peft_cli.forms import build_form
from peft_cli.forms.heads import entailment_log_odds
from peft_cli.forms.templates import AT_MASK, NO_SLOT
from tests.conftest import CLASSES, EXAMPLES, make_backbone

THREE = Hypothesis("The food is {label} .", ("good", "bad", "of place"))
LABELS = ("a", "b", "c")
ASKED = [Example(e.id, e.source, (label,)) for e, label in zip(EXAMPLES, LABELS, strict=True)]
LOAD = {"dtype": "fp32", "device": "cpu", "separator": None, "max_source_tokens": 64, "max_target_tokens": 16}


def asked_of_three(form="entailment", **options):
    return make_backbone("roberta", form=form, hypothesis=THREE, labels=LABELS, **options)


def logits(backbone, examples):
    with torch.no_grad():
        return backbone.forward(backbone.batch(backbone.encode(examples)))[0]


def text(backbone, ids) -> str:
    return backbone.tokenizer.decode(ids).replace(" <pad>", "")


def test_each_class_has_an_input_of_two_segments():
    backbone = asked_of_three()
    batch = backbone.batch(backbone.encode(ASKED[1:2]))
    start = "<s> name : Alimentum </s> </s> The food is"
    assert [text(backbone, ids) for ids in batch.input_ids] == [
        f"{start} {words} . </s>".replace(" .", " <unk>") for words in THREE.words
    ]
    assert batch.labels.tolist() == [1]


def test_two_classes_have_one_input_and_a_mask_is_in_the_sources_segment():
    backbone = make_backbone("roberta", form="entailment")
    assert len(backbone.batch(backbone.encode(CLASSES)).input_ids) == len(CLASSES)
    backbone = asked_of_three("mask")
    batch = backbone.batch(backbone.encode(ASKED[1:2]))
    assert text(backbone, batch.input_ids[0]) == "<s> name : Alimentum The food is <mask> <unk> </s>"
    assert (batch.slots == AT_MASK).sum() == 1


def test_slots_number_the_template_and_then_the_labels():
    backbone = asked_of_three()
    backbone.encoder.form.build_templates(2, 1)
    slots = backbone.batch(backbone.encode(ASKED[1:2])).slots
    own = [row[row != NO_SLOT].tolist() for row in slots]
    before, label = [0, 1, 2, 3, 4], [[7], [8], [9, 10]]  # two trained and three words; one trained and the full stop
    assert own == [[*before, *one, 5, 6] for one in label]
    assert backbone.encoder.form.template[:2] == [None, None]


def test_one_pass_over_all_hypotheses_equals_one_for_each():
    backbone = asked_of_three()
    together, rows, apart = logits(backbone, ASKED), backbone.encode(ASKED), []
    for one in list(backbone.encoder.form.inputs):
        backbone.encoder.form.inputs = [one]
        apart.append(backbone.forward(backbone.batch(rows))[0][:, 1])
    assert together.shape == (3, 3) and torch.allclose(together, torch.stack(apart, dim=1), atol=1e-5)


def test_a_score_is_the_log_odds_of_the_models_own_entailment():
    backbone = asked_of_three()
    batch = backbone.batch(backbone.encode(ASKED))
    plain = backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    p = plain.softmax(-1)[:, 2]
    assert torch.allclose(logits(backbone, ASKED).flatten(), (p / (1 - p)).log(), atol=1e-5)


@pytest.mark.parametrize(
    "nli", [("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), ("entailment", "neutral", "contradiction")]
)
def test_the_order_of_a_models_classes_is_read_from_its_configuration(nli):
    given = dict(zip(("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), torch.randn(3, 4), strict=True))
    config = AutoConfig.for_model("roberta", id2label=dict(enumerate(nli)))
    scores = entailment_log_odds(torch.stack([given[name.upper()] for name in nli], dim=-1), config)
    p = torch.stack(list(given.values())).softmax(0)[2]
    assert torch.allclose(scores, (p / (1 - p)).log(), atol=1e-5)


def test_a_head_of_two_classes_and_one_without_entailment_are_told_apart():
    def of(*names):
        return entailment_index(AutoConfig.for_model("roberta", id2label=dict(enumerate(names))))

    assert of("not_entailment", "entailment") == 1 and of("LABEL_0", "LABEL_1") is None


def test_a_words_score_is_the_masked_language_models_logit():
    backbone = asked_of_three("mask")
    batch = backbone.batch(backbone.encode(ASKED))
    full = backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    at_mask = full[batch.slots == AT_MASK]
    words = [backbone.tokenizer(words, add_special_tokens=False)["input_ids"] for words in THREE.words]
    expected = torch.stack([at_mask[:, ids].mean(-1) for ids in words], dim=-1)
    assert torch.allclose(logits(backbone, ASKED), expected, atol=1e-5)


def test_a_long_source_is_cut_before_its_hypothesis():
    backbone = asked_of_three()
    row = backbone.encode([Example("0", "name : " * 50, ("a",))])[0]
    ids = backbone.batch([row]).input_ids
    assert (
        row.is_cut
        and ids.shape[1] == 24
        and text(backbone, ids[2]).endswith("</s> </s> The food is of place <unk> </s>")
    )


@pytest.mark.parametrize("form", ["entailment", "mask"])
@pytest.mark.parametrize("method", ["lora", "pt", "prefix"])
def test_any_method_answers_in_any_form_whatever_the_padding(form, method):
    from tests.method.test_contract import YAMLS, make_method, stir

    backbone = asked_of_three(form)
    made = make_method(next(path for path in YAMLS if path.stem == method), backbone)
    stir(made)

    def answers(examples):
        with torch.no_grad():
            return backbone.forward(made.inputs(backbone.batch(backbone.encode(examples))))[0]

    assert torch.allclose(answers(ASKED), torch.cat([answers([example]) for example in ASKED]), atol=1e-4)


def test_a_form_without_a_hypothesis_and_one_for_a_writer_are_refused(tmp_path):
    for family, sentence in (
        ("roberta", "the data set has none; give data.hypothesis"),
        ("gpt2", "writes text"),
    ):
        folder = saved(make_backbone(family), tmp_path / family)
        with pytest.raises(ValueError, match=sentence):
            load_backbone(folder, ("good", "bad"), **LOAD, build_form=partial(build_form, None), form="entailment")


def saved(backbone, folder) -> str:
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return str(folder)


def run_of(method, folder, name, labels, tensors):
    """The folder of a finished run that stored `tensors`."""
    folder.mkdir()
    save_file(tensors, folder / "method.safetensors")
    result = {"run": {"method": method}, "config": {"backbone": {"name": name}}, "data": {"labels": labels}}
    (folder / "result.json").write_text(json.dumps(result))
    return str(folder)


def test_a_run_of_all_weights_is_a_backbone_with_its_head_and_its_words(tmp_path):
    first = make_backbone("roberta", form="mask")
    name = saved(first, tmp_path / "model")
    tuned = make_backbone("roberta", seed=1, form="entailment")
    tensors = {f"adopted.{key.replace('.', '/')}": p.detach().clone() for key, p in tuned.named_parameters()}
    folder = run_of("ft", tmp_path / "run", name, ["contradiction", "neutral", "entailment"], tensors)
    said = Hypothesis("The place is {label} .", ("great", "cheap"))
    loaded = load_backbone(folder, ("good", "bad"), **LOAD, build_form=partial(build_form, said), form="entailment")
    assert torch.equal(logits(loaded, CLASSES), logits(tuned, CLASSES)) and loaded.head() == []
    head, own = loaded.read_words_head(), first.model.lm_head
    assert torch.equal(head.dense.weight, own.dense.weight)
    masked = load_backbone(folder, ("good", "bad"), **LOAD, build_form=partial(build_form, said), form="mask")
    assert torch.equal(masked.model.lm_head.decoder.weight, tuned.model.get_input_embeddings().weight)


def test_a_run_that_stored_more_than_the_backbones_weights_is_no_backbone(tmp_path):
    name = saved(make_backbone("roberta"), tmp_path / "model")
    folder = run_of("lora", tmp_path / "run", name, [], {"A.0": torch.zeros(2)})
    with pytest.raises(
        ValueError, match=r"is a run of method=lora, which stores A\.0 beside the backbone's own weights"
    ):
        load_backbone(folder, ("good", "bad"), **LOAD)
