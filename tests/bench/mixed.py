"""How fast batches of several tasks are: python -m tests.bench.mixed RUN RUN ..., with finished runs on one backbone.

Each run is a task, and its test inputs are the queries; those of all tasks come in turn. `mixed` answers each
window of as many as a batch has in common passes, `in turn` each task's part of the window by itself, and `collected`
waits until the queries of a task fill batches of its own. The texts have to be the same. Seconds are those of the
processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from peft_cli.cli.predict import decoding_of, restore_together
from peft_cli.data import Example
from peft_cli.evaluate import Decoding, predict
from peft_cli.method import Method
from peft_cli.run_folder.environment import processor
from peft_cli.serving.multi_task import predict_many

ROUNDS = 2  # of which the fastest counts; the three ways take turns
BATCH = 16
Query = tuple[str, Example]


def main(*folders: str) -> None:
    """Prints a table: for two, four, ... of the runs, the queries that each way answers in a second."""
    runs = {folder: Path(folder) for folder in folders}
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} runs are no several tasks; name the folders of two or more")
    methods, decoding = restore_together(runs, "cpu"), decoding_of(runs, [f"batch_size={BATCH}"])
    names = ", ".join(type(method).__name__ for method in methods.values())
    backbone = next(iter(methods.values())).backbone.config.name_or_path
    where = f"{Path(backbone).name}, {processor()}, threads: {torch.get_num_threads()}"
    print(f"Queries in a second of processor time on {where}; batches of {BATCH},")
    print(f"{len(inputs(runs[folders[0]]))} queries of each task")
    print(f"({names}), the fastest of {ROUNDS} rounds.\n")
    print("| tasks | mixed | in turn | mixed / in turn | collected | mixed / collected | same texts |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    sizes = [n for n in (2, 4, 8, 16, 32) if n < len(runs)] + [len(runs)]
    for size in sizes:
        print(row({folder: methods[folder] for folder in folders[:size]}, runs, decoding), flush=True)


def row(methods: Mapping[str, Method], runs: Mapping[str, Path], decoding: Decoding) -> str:
    """A line of the table: so many tasks, timed in all three ways."""
    queries = [query for own in zip(*(asked(task, runs[task]) for task in methods), strict=True) for query in own]
    ways = (mixed, in_turn, collected)
    times, texts = {way: [] for way in ways}, {}
    for _ in range(ROUNDS):
        for way in ways:
            start = time.process_time()
            texts[way] = way(methods, queries, decoding)
            times[way].append(time.process_time() - start)
    rates = [len(queries) / min(times[way]) for way in ways]
    same = sum(len(set(told)) == 1 for told in zip(*texts.values(), strict=True))
    shares = [rates[0] / rate for rate in rates]
    return (
        f"| {len(methods)} | {rates[0]:.1f} | {rates[1]:.1f} | {shares[1]:.2f} | {rates[2]:.1f} | {shares[2]:.2f} "
        f"| {same} of {len(queries)} |"
    )


def asked(task: str, run: Path) -> list[Query]:
    """The test examples of a run, each with its task."""
    return [(task, Example(str(i), source, (reference,))) for i, (source, reference) in enumerate(inputs(run))]


def inputs(run: Path) -> list[tuple[str, str]]:
    """The source and the first reference of each test example of a run."""
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["source"], row["references"][0]) for row in map(json.loads, lines)]


def windows(queries: Sequence[Query], decoding: Decoding) -> list[Sequence[Query]]:
    """The queries as they come, so many at a time as a batch has."""
    return [queries[i : i + decoding.batch_size] for i in range(0, len(queries), decoding.batch_size)]


def mixed(methods: Mapping[str, Method], queries: Sequence[Query], decoding: Decoding) -> list[str]:
    """The texts, with the tasks of a window in common passes."""
    backbone = next(iter(methods.values())).backbone
    return [
        text for part in windows(queries, decoding) for text in predict_many(backbone, methods, part, decoding).texts
    ]


def in_turn(methods: Mapping[str, Method], queries: Sequence[Query], decoding: Decoding) -> list[str]:
    """The texts, with one task of a window after another."""
    return [text for part in windows(queries, decoding) for text in collected(methods, part, decoding)]


def collected(methods: Mapping[str, Method], queries: Sequence[Query], decoding: Decoding) -> list[str]:
    """The texts, with one task after another in batches of its own."""
    texts = {}
    for task, method in methods.items():
        own = [example for other, example in queries if other == task]
        for example, text in zip(own, predict(method.backbone, method, own, decoding).texts, strict=True):
            texts[task, example.id] = text
    return [texts[task, example.id] for task, example in queries]


if __name__ == "__main__":
    main(*sys.argv[1:])
