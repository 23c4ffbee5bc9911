"""Scores of predicted texts against their references, by a protocol. One file for each metric; none needs torch.

predictions, references, sources -> make_items (the protocol's rules) -> each metric -> Scores

A metric is the function `name` of the file `name.py` in this folder: (predictions, references, protocol) -> Score.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar

from peft_cli.metrics.protocols import Protocol, load_protocol

NO_REFERENCE = "no item has a reference"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Score:
    """The result of one metric for all items. A value is None where it is undefined, and `reason` says why."""

    values: dict[str, float | None]  # by the name of the column; in percent, but for NIST and CIDEr
    signature: str  # what was computed, with which version
    examples: dict[str, list[float]] = field(default_factory=dict)  # for each item, where the metric has that
    reason: str | None = None
    is_error: bool = False  # whether lower is better

    @property
    def selection_value(self) -> float:
        """The first value as a number of which more is better; minus infinity where it is undefined."""
        value = next(iter(self.values.values()))
        return -math.inf if value is None else -value if self.is_error else value


class ItemCounts(TypedDict):
    """What was scored, as a result keeps it."""

    protocol: str
    items: int  # that were scored
    unreferenced: int  # predictions without a reference
    references: list[list[int]]  # pairs: a number of references, and how many items have so many
    parts: NotRequired[dict[str, ItemCounts]]


@dataclass(frozen=True)
class Scores:
    """The results of several metrics, and what they were computed of."""

    values: dict[str, float | None]
    signatures: dict[str, str]  # by metric
    reasons: dict[str, str]  # by metric, where a value is None
    examples: list[dict[str, float | None]]  # for each prediction; those of one input have the same
    selection_value: float  # by which the best state is chosen: more is better, by the first metric
    items: ItemCounts

    def with_part(self, part: str, scores: Scores) -> Scores:
        """These scores and those of a part of the items, with the part's name after each column."""
        reasons = {f"{n}_{part}": why for n, why in scores.reasons.items() if self.reasons.get(n) != why}
        items: ItemCounts = {**self.items, "parts": self.items.get("parts", {}) | {part: scores.items}}
        values = {f"{key}_{part}": value for key, value in scores.values.items()}
        return replace(self, values=self.values | values, reasons=self.reasons | reasons, items=items)


@dataclass(frozen=True)
class Items:
    """What a protocol makes of predictions: one prediction and one or more references for each input."""

    predictions: list[str]
    references: list[list[str]]
    indices: list[int | None]  # for each original prediction that of its item; None where it has no reference

    def count(self, protocol: Protocol) -> ItemCounts:
        """How many items there are, and how many of them have how many references."""
        counts = Counter(map(len, self.references))
        return {
            "protocol": protocol.name,
            "items": len(self.predictions),
            "unreferenced": self.indices.count(None),
            "references": [[n, counts[n]] for n in sorted(counts)],
        }


def score(
    names: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    protocol: str = "plain",
    sources: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    parts: Mapping[str, Sequence[int]] | None = None,
) -> Scores:
    """Every score of the metrics `names`; the first one selects models.

    A name may bring an argument: "bleurt=<folder of a model>". A protocol that scores each input once groups by
    `sources`. `labels` are the classes in the data set's own order. Each of `parts`, a name and the indices of its
    predictions, is also scored on its own, as in "bleu_seen".
    Raises ValueError for an unknown metric or protocol, and for numbers of texts that differ.
    """
    if not len(predictions) == len(references) == len(predictions if sources is None else sources):
        raise ValueError(f"{len(predictions)} predictions cannot be scored against {len(references)} items' references")
    check_repeated(names)
    rules = load_protocol(protocol)
    rules = replace(rules, labels=normalise_labels(labels, rules))
    scores = score_items(names, make_items(predictions, references, rules, sources), rules)
    for part, indices in (parts or {}).items():
        own = None if sources is None else select(sources, indices)
        items = make_items(select(predictions, indices), select(references, indices), rules, own)
        scores = scores.with_part(part, score_items(names, items, rules))
    return scores


def check_repeated(names: Sequence[str]) -> None:
    """Raises ValueError for a metric that is named with two arguments, whose scores would have one name."""
    argument: dict[str, str] = {}
    for name in names:
        first = argument.setdefault(name.partition("=")[0], name)
        if first != name:
            raise ValueError(f"{first} and {name} would have one column; score with one of them at a time")


def normalise_labels(labels: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """The classes as the protocol normalises references; raises ValueError for two that become one."""
    normalised: dict[str, str] = {}
    for label in labels:
        first = normalised.setdefault(protocol.reference(label), label)
        if first is not label:
            raise ValueError(f"the classes {first!r} and {label!r} are the same text in the protocol {protocol.name}")
    return tuple(normalised)


def select(values: Sequence[Value], indices: Sequence[int]) -> list[Value]:
    """The values at `indices`."""
    return [values[i] for i in indices]


def make_items(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    protocol: Protocol,
    sources: Sequence[str] | None = None,
) -> Items:
    """The items that `protocol` scores, in the order in which their inputs come first.

    The last one of several predictions for one input counts, as in the LoRA repository's gpt2_decode.py. An empty
    reference does not count, and an item without any reference is not scored.
    """
    keys: Sequence[str | int] = sources if protocol.groups_inputs and sources is not None else range(len(predictions))
    texts: dict[str | int, str] = {}
    gathered: dict[str | int, list[str]] = {}
    for key, text, refs in zip(keys, predictions, references, strict=True):
        texts[key] = text
        gathered.setdefault(key, []).extend(refs)
    chosen = {key: refs for key in texts if (refs := protocol.choose(gathered[key]))}
    indices = {key: i for i, key in enumerate(chosen)}
    normalised = [protocol.prediction(texts[key]) for key in chosen]
    return Items(normalised, list(chosen.values()), [indices.get(key) for key in keys])


def score_items(names: Sequence[str], items: Items, protocol: Protocol) -> Scores:
    """Every score of the metrics `names` for `items`."""
    found = {name.partition("=")[0]: apply_metric(name, items, protocol) for name in names}
    counts = items.count(protocol)
    return Scores(
        values={key: value for one in found.values() for key, value in one.values.items()},
        signatures={name: f"{one.signature}|{item_signature(counts)}" for name, one in found.items()},
        reasons={name: one.reason for name, one in found.items() if one.reason},
        examples=[example_scores(found, i) for i in items.indices],
        selection_value=next(iter(found.values())).selection_value,
        items=counts,
    )


def apply_metric(name: str, items: Items, protocol: Protocol) -> Score:
    """The result of one metric for `items`."""
    metric, arguments = find_metric(name)
    if not items.predictions:
        return Score({name.partition("=")[0]: None}, "nothing", reason=NO_REFERENCE)
    return metric(items.predictions, items.references, protocol, *arguments)


def find_metric(name: str) -> tuple[Callable[..., Score], list[str]]:
    """The function of a metric, and the argument in its name. Raises ValueError where it does not exist."""
    plain, _, argument = name.partition("=")
    if plain not in metric_names():
        raise ValueError(f"there is no metric {plain}; there are {', '.join(metric_names())}")
    function = getattr(import_module(f"peft_cli.metrics.{plain}"), plain)
    needed = [*inspect.signature(function).parameters][3:]
    if bool(needed) != bool(argument):
        raise ValueError(
            f"{name} is not possible: write {plain}=<{needed[0]}>" if needed else f"{plain} takes no argument"
        )
    if needed and not Path(argument.partition("@")[0]).is_dir():
        raise ValueError(f"{name} is not possible: there is no folder {argument.partition('@')[0]}")
    return function, [argument] if argument else []


def metric_names() -> list[str]:
    """The names of all metrics: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def check_request(protocol: str | None, more_metrics: list[str]) -> None:
    """Raises ValueError for an unknown protocol or metric."""
    if protocol is not None:
        load_protocol(protocol)
    check_repeated(more_metrics)
    for name in more_metrics:
        find_metric(name)


def item_signature(counts: ItemCounts) -> str:
    """The part of a signature that all metrics share, such as "protocol:e2e|items:630|refs:1-45"."""
    numbers = [n for n, _ in counts["references"]] or [0]
    span = numbers[0] if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    unreferenced = f"|unreferenced:{counts['unreferenced']}" if counts["unreferenced"] else ""
    return f"protocol:{counts['protocol']}|items:{counts['items']}|refs:{span}{unreferenced}"


def example_scores(found: Mapping[str, Score], index: int | None) -> dict[str, float | None]:
    """The scores of one item, by column; None where it has no reference."""
    columns = {key: values for one in found.values() for key, values in one.examples.items()}
    return {key: None if index is None else values[index] for key, values in columns.items()}
