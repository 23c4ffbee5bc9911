"""Examples of several tasks in common batches: predictions, and the orders they come in."""

from copy import copy

import pytest
import torch

from peft_cli.backbone import Backbone
from peft_cli.data import Example
from peft_cli.evaluate import Decoding, predict
from peft_cli.serving.multi_task import predict_many
from peft_cli.serving.shared_rows import share_weights
from tests.conftest import EXAMPLES, make_backbone
from tests.serving.test_multi_method import construct

LABELS = ("good food", "bad", "great place in area")  # of one, two and four tokens
OPTIONS = {"beams": 1, "length_penalty": 1.0, "max_new_tokens": 6, "min_new_tokens": 0, "no_repeat_ngram": 0}
DECODING = Decoding(**OPTIONS, batch_size=4)
TASKS = {"prose": ("spt", ()), "food": ("lora", LABELS), "more prose": ("prefix", ()), "place": ("pt", LABELS[:2])}
HEADED = {"food": ("lora", LABELS), "place": ("pt", LABELS[:2]), "price": ("adapter", ()), "area": ("prefix", LABELS)}


def reading(backbone: Backbone, labels, is_number=False) -> Backbone:
    """A backbone of the same model for a task with `labels`."""
    encoder = copy(backbone.encoder_at_first)
    encoder.labels, encoder.cache, encoder.is_number = labels, {}, is_number
    return share_weights(backbone, encoder)


def make(family: str):
    """A backbone, and a method for each task on it; where there is a head, one task is that of a number."""
    torch.manual_seed(0)
    backbone = make_backbone(family)
    tasks = TASKS if backbone.family.generates else HEADED
    methods = {
        task: construct(name, reading(backbone, labels, is_number=not labels and tasks is HEADED))
        for task, (name, labels) in tasks.items()
    }
    return backbone, methods


def queries(methods):
    """Twelve examples, of the tasks in turn."""
    tasks, made = list(methods), []
    for i, example in enumerate(EXAMPLES * 4):
        encoder = methods[task := tasks[i % len(tasks)]].backbone.encoder
        target = encoder.labels[0] if encoder.labels else "1.0" if encoder.is_number else "good"
        made.append((task, Example(str(i), example.source, (target,))))
    return made


@pytest.mark.parametrize("changes", [{}, {"batch_size": 5, "classes": "generate"}, {"beams": 2}], ids=str)
def test_predictions_are_those_of_each_task_alone(family, changes):
    backbone, methods = make(family)
    decoding, asked = Decoding(**OPTIONS | {"batch_size": 4} | changes), queries(methods)
    together, alone = predict_many(backbone, methods, asked, decoding).texts, [""] * len(asked)
    for task, method in methods.items():
        places = [i for i, (other, _) in enumerate(asked) if other == task]
        texts = predict(method.backbone, method, [asked[i][1] for i in places], decoding).texts
        for place, text in zip(places, texts, strict=True):
            alone[place] = text
    assert together == alone and len(set(together)) > 2


def test_tasks_share_the_models_passes():
    backbone, methods = make("t5")
    asked, passes = [(task, EXAMPLES[0]) for task in ("prose", "more prose")] * 4, []
    backbone.model.get_encoder().register_forward_hook(lambda *_: passes.append(1))
    predict_many(backbone, methods, asked, Decoding(**OPTIONS, batch_size=8))
    assert len(passes) == 1


def test_an_unknown_task_names_the_known_ones():
    backbone, methods = make("gpt2")
    with pytest.raises(
        ValueError, match="no method for the task 'news'; there are methods for prose, food, more prose"
    ):
        predict_many(backbone, methods, [("news", EXAMPLES[0])], DECODING)


def test_a_source_that_is_too_long_for_its_tasks_method_is_refused():
    backbone = make_backbone("t5")
    methods = {"a": construct("lora", share_weights(backbone)), "b": construct("dept", share_weights(backbone))}
    methods["b"].backbone.source_room = 2, "method.positions"
    with pytest.raises(ValueError, match=r"method\.positions=2 is too little for the longest source"):
        predict_many(backbone, methods, [("b", EXAMPLES[0])], DECODING)
    assert len(predict_many(backbone, methods, [("a", EXAMPLES[0])], DECODING).texts) == 1


def test_nothing_asked_is_nothing_answered():
    backbone, methods = make("gpt2")
    assert predict_many(backbone, methods, [], DECODING).texts == []
