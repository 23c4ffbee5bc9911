"""Predictions for examples of several tasks, each with its own method, in common batches on one frozen backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from peft_cli.backbone import Backbone, Encoded
from peft_cli.data import Example
from peft_cli.evaluate import Decoding, Prediction, is_ranked, row_log_likelihoods
from peft_cli.method import Method
from peft_cli.serving.multi_method import check_methods, forward_methods, method_inputs, predict_methods

Value = TypeVar("Value")
Row = tuple[str, Encoded]  # a task and an example of it
Parts = Sequence[tuple[Method, list[Encoded]]]


@torch.no_grad()
def predict_many(
    backbone: Backbone, methods: Mapping[str, Method], examples: Sequence[tuple[str, Example]], decoding: Decoding
) -> Prediction:
    """The predicted text of every example of a task by the task's method, as `predict` makes it; in their order.

    Examples of all tasks share batches, by length; what depends on a place in the padded batch (DePT with
    offset_by=slot) changes with the batch, as it does for one task. Raises ValueError for a method that cannot share
    one, an example of an unknown task, and a source that its method has no room for.
    """
    check_methods(backbone, methods)
    rows = encode_by_task(methods, examples)
    backbone.model.eval()
    for method in methods.values():
        method.eval()
        method.backbone.known_prompt = None  # of the state that predicted last
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][1].source), reverse=True)
    ways: dict[Callable[..., list[str]], list[int]] = {rank_rows: [], write_rows: []}
    for i in order:
        ways[rank_rows if is_ranked(methods[rows[i][0]].backbone, decoding) else write_rows].append(i)
    texts: dict[int, str] = {}
    start = time.perf_counter()
    for way, chosen in ways.items():
        texts |= zip(chosen, way(methods, [rows[i] for i in chosen], decoding), strict=True)
    return Prediction([texts[i] for i in range(len(rows))], time.perf_counter() - start)


def encode_by_task(methods: Mapping[str, Method], examples: Sequence[tuple[str, Example]]) -> list[Row]:
    """The ids of each example, as the backbone of its task's method encodes it."""
    if unknown := [task for task, _ in examples if task not in methods]:
        raise ValueError(f"there is no method for the task {unknown[0]!r}; there are methods for {', '.join(methods)}")
    for task, method in methods.items():
        method.backbone.check_lengths([example for other, example in examples if other == task])
    return [(task, methods[task].backbone.encoder(example)) for task, example in examples]


def write_rows(methods: Mapping[str, Method], rows: Sequence[Row], decoding: Decoding) -> list[str]:
    """The text that each task's method makes the backbone write for a row, or the class of a head."""

    def write(parts: Parts) -> list[list[str]]:
        options = decoding.options(next(iter(methods.values())).backbone.encoder)
        return predict_methods(method_inputs(parts, training=False), **options)

    return by_task(methods, rows, decoding.batch_size, write)


def rank_rows(methods: Mapping[str, Method], rows: Sequence[Row], decoding: Decoding) -> list[str]:
    """The class of each row whose text is the most likely after the source."""

    def log_likelihoods(parts: Parts) -> list[list[float]]:
        outputs = forward_methods(method_inputs(parts))
        return [row_log_likelihoods(*own, inputs).tolist() for own, (_, inputs) in zip(outputs, parts, strict=True)]

    encoders = {task: method.backbone.encoder for task, method in methods.items()}
    candidates = [(task, candidate) for task, row in rows for candidate in encoders[task].candidates(row)]
    scores, best = iter(by_task(methods, candidates, decoding.batch_size, log_likelihoods)), []
    for labels in (encoders[task].labels for task, _ in rows):
        own = [next(scores) for _ in labels]
        best.append(labels[own.index(max(own))])
    return best


def by_task(
    methods: Mapping[str, Method], rows: Sequence[Row], batch_size: int, values: Callable[[Parts], list[list[Value]]]
) -> list[Value]:
    """What `values` returns for each row, in their order; it takes the rows of a batch by method."""
    results: dict[int, Value] = {}
    for i in range(0, len(rows), batch_size):
        places: dict[str, list[int]] = {}
        for place in range(i, min(i + batch_size, len(rows))):
            places.setdefault(rows[place][0], []).append(place)
        batch = values([(methods[task], [rows[place][1] for place in own]) for task, own in places.items()])
        for own, part in zip(places.values(), batch, strict=True):
            results |= zip(own, part, strict=True)
    return [results[i] for i in range(len(rows))]
