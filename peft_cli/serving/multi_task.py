"""Predictions for examples of several tasks, each with its own method, in common batches on one frozen backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch

from peft_cli.backbone import Backbone, Encoded
from peft_cli.data import Example
from peft_cli.evaluate import Decoding, Prediction, is_ranked, of_rows
from peft_cli.method import Method
from peft_cli.serving.multi_method import check_together, forward_together, inputs_together, write_together


@torch.no_grad()
def predict_many(
    backbone: Backbone, methods: Mapping[str, Method], examples: Sequence[tuple[str, Example]], decoding: Decoding
) -> Prediction:
    """The predicted text of every example of a task by the task's method, as `predict` has it; in their order.

    Examples of all tasks share batches, by length; what goes by a place in the padded batch (DePT with offset_by=slot)
    changes with the batch, as it does for one task. Raises ValueError for a method that cannot share one, an example of
    an unknown task, and a source that its method has no room for.
    """
    check_together(backbone, methods)
    rows = encoded_by_task(methods, examples)
    backbone.model.eval()
    for method in methods.values():
        method.eval()
        method.backbone.kept = None  # of the last state that predicted
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][1].source), reverse=True)
    ways: dict[Callable, list[int]] = {rank_together: [], say_together: []}
    for i in order:
        ways[rank_together if is_ranked(methods[rows[i][0]].backbone, decoding) else say_together].append(i)
    texts, start = {}, time.perf_counter()
    for answer, chosen in ways.items():
        texts |= zip(chosen, answer(methods, [rows[i] for i in chosen], decoding), strict=True)
    return Prediction([texts[i] for i in range(len(rows))], time.perf_counter() - start)


def encoded_by_task(
    methods: Mapping[str, Method], examples: Sequence[tuple[str, Example]]
) -> list[tuple[str, Encoded]]:
    """The ids of each example, as the backbone of its task's method reads it."""
    if unknown := [task for task, _ in examples if task not in methods]:
        raise ValueError(f"there is no method for the task {unknown[0]!r}; there are methods for {', '.join(methods)}")
    for task, method in methods.items():
        method.backbone.check([example for other, example in examples if other == task])
    return [(task, methods[task].backbone.encoder(example)) for task, example in examples]


def say_together(methods: Mapping[str, Method], rows: Sequence[tuple[str, Encoded]], decoding: Decoding) -> list[str]:
    """What each task's method makes the backbone write for a row, or say by a head."""

    def write(parts: Sequence[tuple[Method, list[Encoded]]]) -> list[list[str]]:
        return write_together(inputs_together(parts, training=False), **decoding.options())

    return by_task(methods, rows, decoding.batch_size, write)


def rank_together(methods: Mapping[str, Method], rows: Sequence[tuple[str, Encoded]], decoding: Decoding) -> list[str]:
    """The class of each row whose text is the most likely after the source."""

    def likelihoods(parts: Sequence[tuple[Method, list[Encoded]]]) -> list[list[float]]:
        made = forward_together(inputs_together(parts))
        return [of_rows(*own, inputs).tolist() for own, (_, inputs) in zip(made, parts, strict=True)]

    encoders = {task: method.backbone.encoder for task, method in methods.items()}
    candidates = [(task, candidate) for task, row in rows for candidate in encoders[task].candidates(row)]
    scores, best = iter(by_task(methods, candidates, decoding.batch_size, likelihoods)), []
    for labels in (encoders[task].labels for task, _ in rows):
        own = [next(scores) for _ in labels]
        best.append(labels[own.index(max(own))])
    return best


def by_task(
    methods: Mapping[str, Method], rows: Sequence[tuple[str, Encoded]], batch_size: int, answer: Callable
) -> list:
    """What `answer` gives for each row, in their order; it takes the rows of a batch by method."""
    answers = {}
    for i in range(0, len(rows), batch_size):
        places: dict[str, list[int]] = {}
        for place in range(i, min(i + batch_size, len(rows))):
            places.setdefault(rows[place][0], []).append(place)
        made = answer([(methods[task], [rows[place][1] for place in own]) for task, own in places.items()])
        for own, given in zip(places.values(), made, strict=True):
            answers |= zip(own, given, strict=True)
    return [answers[i] for i in range(len(rows))]
