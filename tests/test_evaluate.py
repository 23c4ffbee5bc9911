"""Predicting texts, classes and numbers, on backbones that write text and on those with a head."""

import pytest
import torch
import torch.nn.functional as F

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.data import Data, Example
from peft_cli.evaluate import Decoding, log_likelihoods, predict, score_all
from peft_cli.method import Method
from peft_cli.method.ft import FT
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.train import batch_loss
from tests.conftest import CONFIGS, EXAMPLES, examples_for, make_backbone, make_tokenizer

LABELS = ("good food", "bad", "great place in area")  # of one, two and four tokens
OPTIONS = {"beams": 1, "length_penalty": 1.0, "max_new_tokens": 6, "min_new_tokens": 0, "no_repeat_ngram": 0}
DECODING = Decoding(**OPTIONS, batch_size=2)
BEAM = Decoding(**OPTIONS | {"beams": 2, "max_new_tokens": 5}, batch_size=2)
WRITERS = ["gpt2", "llama", "bart", "t5"]
SHOWN = [Example(str(i), e.source, (LABELS[i % 3],)) for i, e in enumerate(EXAMPLES * 2)]


def make_writer(family: str, labels=LABELS) -> Backbone:
    backbone = make_backbone(family)
    backbone.encoder.labels = labels
    return backbone


def make_regressor() -> Backbone:
    auto, config = CONFIGS["roberta"]
    config = config()
    config.num_labels = 1
    torch.manual_seed(0)
    model = auto.from_config(config, attn_implementation=IMPLEMENTATION)
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    return Backbone(model, make_tokenizer("roberta"), is_number=True, max_source_tokens=24)


@torch.no_grad()
def one_by_one(backbone: Backbone, source: str, label: str) -> float:
    """The log-likelihood of a class text and the end token, token after token, by transformers alone."""
    encoder, model = backbone.encoder, backbone.model
    target = encoder.encode_target(label)[0]
    if backbone.family.is_decoder_only:
        ids = encoder.encode_source(source)[0] + target
        logits = model(torch.tensor([ids])).logits[0, -len(target) - 1 : -1]
    else:
        ids = torch.tensor([encoder.encode_source(source)[0]])
        logits = model(input_ids=ids, labels=torch.tensor([target])).logits[0]
    return F.log_softmax(logits, -1)[range(len(target)), target].sum().item()


@pytest.mark.parametrize("family", WRITERS)
def test_a_class_text_of_several_tokens_is_as_likely_as_its_tokens_are(family):
    backbone = make_writer(family)
    method = Method(backbone, lr=1.0)
    rows = [row for shown in backbone.encode(SHOWN) for row in backbone.encoder.candidates(shown)]
    expected = [one_by_one(backbone, example.source, label) for example in SHOWN for label in LABELS]
    assert len({len(row.target) for row in rows}) == 3
    assert torch.allclose(log_likelihoods(backbone, method, rows), torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize("family", WRITERS)
def test_ranking_takes_the_most_likely_class_whatever_the_batch(family):
    backbone = make_writer(family)
    method = Method(backbone, lr=1.0)
    best = [max(LABELS, key=lambda label: one_by_one(backbone, example.source, label)) for example in SHOWN]
    for size in (1, 4, 64):
        assert predict(backbone, method, SHOWN, Decoding(**OPTIONS, batch_size=size)).texts == best


@pytest.mark.parametrize("family", WRITERS)
def test_a_class_can_be_generated_instead(family):
    backbone = make_writer(family)
    method = PT(backbone, length=3, init="random", text=None, lr=0.1)
    generated = predict(backbone, method, SHOWN, Decoding(**OPTIONS, batch_size=2, classes="generate")).texts
    backbone.encoder.labels = ()
    assert generated == predict(backbone, method, SHOWN, DECODING).texts


@pytest.mark.parametrize("family", WRITERS)
def test_training_on_class_texts_ranks_right(family):
    backbone = make_writer(family, LABELS[:2])
    method = FT(backbone, top_blocks=None, output_embedding=False, lr=0.01)
    shown = [Example("0", "name : Alimentum", ("good food",)), Example("1", "price : cheap", ("bad",))]
    optimizer = torch.optim.AdamW(method.param_groups(), weight_decay=0.0)
    for _ in range(60):
        batch_loss(backbone, method, backbone.batch(backbone.encode(shown))).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert predict(backbone, method, shown, DECODING).texts == ["good food", "bad"]


def test_a_writer_refuses_a_target_that_is_no_class():
    with pytest.raises(ValueError, match="'ugly' is none of the classes good food, bad, great place in area"):
        make_writer("t5").encode([Example("0", "a", ("ugly",))])


@pytest.mark.parametrize(
    "make", [lambda b: PT(b, 3, "random", None, 0.1), lambda b: LoRA(b, 2, 2, 0.0, ["query"], 0.1)]
)
def test_a_head_learns_numbers_and_is_counted(make):
    backbone = make_regressor()
    method = make(backbone)
    head = sum(p.numel() for _, p in backbone.head())
    assert head == 16 * 16 + 16 + 16 + 1  # dense and out_proj of RoBERTa's head, by one output
    assert {id(p) for _, p in backbone.head()} <= {id(p) for p in method.parameters()}
    shown = [Example("0", "name : Alimentum", ("4.5",)), Example("1", "price : cheap", ("0.5",))]
    rows, first = backbone.encode(shown), None
    optimizer = torch.optim.AdamW([{**group, "lr": 0.01} for group in method.param_groups()], weight_decay=0.0)
    for _ in range(300):
        loss = batch_loss(backbone, method, backbone.batch(rows))
        first = first or loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    numbers = [float(text) for text in predict(backbone, method, shown, DECODING).texts]
    assert loss.item() < 0.1 < first and abs(numbers[0] - 4.5) < 0.5 and abs(numbers[1] - 0.5) < 0.5


def test_the_loss_of_numbers_is_the_squared_error():
    backbone = make_regressor()
    shown = [Example("0", "name : Alimentum", ("4.5",)), Example("1", "price : cheap", ("0.5",))]
    said = [float(text) for text in predict(backbone, Method(backbone, lr=1.0), shown, DECODING).texts]
    expected = (said[0] - 4.5) ** 2 + (said[1] - 0.5) ** 2
    loss = batch_loss(backbone, Method(backbone, lr=1.0), backbone.batch(backbone.encode(shown))).item()
    assert loss == pytest.approx(expected, abs=1e-2)


def test_scores_of_the_parts_of_a_test_set_stand_beside_those_of_all():
    shown = [Example(str(i), "", ("yes",), subset) for i, subset in enumerate(["seen", "unseen", "seen", "unseen"])]
    data = Data([], [], shown, ("accuracy",))
    scores = score_all(data, shown, ["yes", "no", "yes", "yes"], None)
    assert scores.values == {"accuracy": 75.0, "accuracy_seen": 100.0, "accuracy_unseen": 50.0}
    assert set(scores.signatures) == {"accuracy"}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_runs_the_prompt_once_for_all_batches_and_again_when_it_changed(family):
    backbone = make_backbone(family)
    method = PT(backbone, length=7, init="random", text=None, lr=0.1)
    lengths = []

    def count(module, args, kwargs):
        embeds = kwargs.get("inputs_embeds")
        lengths.append(0 if embeds is None else embeds.shape[1])

    backbone.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    examples = examples_for(backbone) * 3
    first = predict(backbone, method, examples, BEAM).texts
    assert lengths.count(7) == 1 and len(first) == len(examples)
    with torch.no_grad():
        method.prompt += 1
    predict(backbone, method, examples, BEAM)
    assert lengths.count(7) == 2


def test_a_class_text_is_tokenised_once():
    encoder = make_writer("t5").encoder
    rows = [encoder(example) for example in SHOWN[:2]]
    first, second = ([candidate.target for candidate in encoder.candidates(row)] for row in rows)
    assert first == [encoder.encode_target(label)[0] for label in LABELS]
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_predictions_come_in_the_order_of_the_examples():
    backbone = make_backbone("gpt2")
    method = PT(backbone, length=7, init="random", text=None, lr=0.1)
    examples = examples_for(backbone)
    together = predict(backbone, method, examples, BEAM).texts
    assert together == [predict(backbone, method, [example], BEAM).texts[0] for example in examples]


def writer_and_method():
    torch.manual_seed(0)
    backbone = make_backbone("gpt2")
    return backbone, PT(backbone, length=4, init="vocabulary", text=None, lr=0.05)


def predicted(known=None, seconds=0.0):
    backbone, method = writer_and_method()
    made = []
    found = predict(
        backbone, method, [*EXAMPLES, *EXAMPLES], DECODING, lambda texts, _: made.append(texts), known or {}, seconds
    )
    return found, made


def test_predictions_are_those_of_the_backbone_as_it_is():
    """Not those of a prompt encoded before, nor of training."""
    backbone, method = writer_and_method()
    predict(backbone, method, EXAMPLES, DECODING)
    fresh, other = writer_and_method()
    for own in (backbone, fresh):
        with torch.no_grad():
            for linear in own.linears("key", "value"):
                linear.module.weight.mul_(-3.0)
    for module in backbone.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    backbone.model.train()
    assert predict(backbone, method, EXAMPLES, DECODING).texts == predict(fresh, other, EXAMPLES, DECODING).texts


def test_a_methods_dropout_is_off_in_predictions():
    texts = []
    for rate in (0.0, 0.9):
        backbone = make_backbone("gpt2")
        torch.manual_seed(0)
        method = LoRA(backbone, 2, 8, rate, ["query", "value"], 0.1)
        for matrix in method.B:
            matrix.data.normal_()
        texts.append(predict(backbone, method.train(), EXAMPLES, DECODING).texts)
    assert texts[0] == texts[1]


def test_long_sources_come_first():
    backbone, _ = writer_and_method()
    lengths = [len(row.source) for row in backbone.encode([*EXAMPLES, *EXAMPLES])]
    order = [i for batch in predicted()[1] for i in batch]
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)


def test_a_class_of_a_head_is_not_ranked():
    backbone = make_backbone("roberta")
    with torch.no_grad():
        logits = backbone.forward(backbone.batch(backbone.encode(examples_for(backbone))))[0]
    expected = [backbone.encoder.labels[i] for i in logits.argmax(-1)]
    assert predict(backbone, Method(backbone, lr=1.0), examples_for(backbone), DECODING).texts == expected


@pytest.mark.parametrize("beams", [1, 4])
def test_nothing_of_generation_is_left_to_the_checkpoint(beams):
    decoding = Decoding(**OPTIONS | {"beams": beams, "length_penalty": 0.8}, batch_size=2, banned=["food"])
    assert decoding.options(make_backbone("gpt2").encoder) == {
        "num_beams": beams, "length_penalty": 0.8 if beams > 1 else None, "early_stopping": False, "max_new_tokens": 6,
        "min_new_tokens": 0, "no_repeat_ngram_size": 0, "suppress_tokens": make_backbone("gpt2").encoder.ids("food"),
    }  # fmt: skip


def test_what_is_known_is_not_predicted_again():
    whole, batches = predicted()
    assert [len(batch) for batch in batches] == [2, 2, 2]
    again, made = predicted(batches[0] | batches[2], seconds=5.0)
    assert again.texts == whole.texts and made == [batches[1]] and again.seconds > 5.0


def test_a_batch_that_is_known_in_part_is_predicted_as_a_whole():
    whole, batches = predicted()
    first = next(iter(batches[1]))
    again, made = predicted({first: "wrong"})
    assert made == batches and again.texts == whole.texts


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("beams", [1, 3])
def test_a_banned_text_is_never_written(family, beams):
    backbone = make_backbone(family)
    options = OPTIONS | {"beams": beams, "min_new_tokens": 6}
    plain = predict(backbone, Method(backbone, lr=1.0), EXAMPLES, Decoding(**options, batch_size=2)).texts
    words = sorted({word for text in plain for word in text.split()})
    decoding = Decoding(**options, batch_size=2, banned=words[:2])
    texts = predict(backbone, Method(backbone, lr=1.0), EXAMPLES, decoding).texts
    assert texts != plain and not {word for text in texts for word in text.split()} & set(words[:2])


@pytest.mark.parametrize(("text", "n"), [("good food", 2), (" ", 0)])
def test_only_a_text_of_one_token_can_be_banned(text, n):
    decoding = Decoding(**OPTIONS, batch_size=2, banned=[text])
    with pytest.raises(ValueError, match=rf"decode\.banned has '{text}', which is {n} tokens of this backbone"):
        decoding.options(make_backbone("gpt2").encoder)


def test_a_text_cannot_have_to_be_longer_than_it_may_be():
    with pytest.raises(ValueError, match=r"decode\.min_new_tokens=9 is above decode\.max_new_tokens=4"):
        Decoding(1, 1.0, max_new_tokens=4, min_new_tokens=9, no_repeat_ngram=0, batch_size=2)
