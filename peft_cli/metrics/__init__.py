"""Scores of predicted texts against their references, by a protocol. One file for each metric; none needs torch.

predictions, references, sources -> prepare (the protocol's rules) -> each metric -> Scores

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

from peft_cli.metrics.protocols import Protocol, load

EMPTY = "no item has a reference"


@dataclass(frozen=True)
class Score:
    """What a metric says of all items. A value is None where it is undefined, and `reason` says why."""

    values: dict[str, float | None]  # by the name of the column; in percent, but for NIST and CIDEr
    signature: str  # what was computed, with which version
    examples: dict[str, list[float]] = field(default_factory=dict)  # for each item, where the metric has that
    reason: str | None = None
    is_error: bool = False  # whether lower is better

    @property
    def selects(self) -> float:
        """What the better of two models has more of: the first value; the least there is where that is undefined."""
        value = next(iter(self.values.values()))
        return -math.inf if value is None else -value if self.is_error else value


@dataclass(frozen=True)
class Scores:
    """What several metrics say, and of what."""

    values: dict[str, float | None]
    signatures: dict[str, str]  # by metric
    reasons: dict[str, str]  # by metric, where a value is None
    examples: list[dict[str, float | None]]  # for each prediction; those of one input have the same
    selects: float  # what the better of two models has more of, by the first metric
    items: dict  # the protocol's name, how many items were scored, and how many of them have how many references

    def add(self, part: str, scores: Scores) -> None:
        """Takes in the scores of a part of the items, with the part's name behind each."""
        self.values.update({f"{key}_{part}": value for key, value in scores.values.items()})
        self.reasons.update({f"{n}_{part}": why for n, why in scores.reasons.items() if self.reasons.get(n) != why})
        self.items.setdefault("parts", {})[part] = scores.items


@dataclass(frozen=True)
class Items:
    """What a protocol makes of predictions: one prediction and one or more references for each input."""

    predictions: list[str]
    references: list[list[str]]
    places: list[int | None]  # for each original prediction the item that it belongs to; None without any reference


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

    A name may bring an argument: "bleurt=<folder of a model>". `sources` are what a protocol that scores each input
    once groups by; `labels` are the classes in the data set's own order. Each of `parts`, a name and the places of
    its predictions, has scores of its own too, as in "bleu_seen".
    Raises ValueError for a metric or protocol that there is not.
    """
    if not len(predictions) == len(references) == len(predictions if sources is None else sources):
        raise ValueError(f"{len(predictions)} predictions cannot be scored against {len(references)} items' references")
    rules = replace(load(protocol), labels=tuple(labels))
    items = prepare(predictions, references, rules, sources)
    found = {name.partition("=")[0]: compute(name, items, rules) for name in names}
    told = describe(items, rules)
    scores = Scores(
        values={key: value for one in found.values() for key, value in one.values.items()},
        signatures={name: f"{one.signature}|{signature(told)}" for name, one in found.items()},
        reasons={name: one.reason for name, one in found.items() if one.reason},
        examples=[by_example(found, place) for place in items.places],
        selects=next(iter(found.values())).selects,
        items=told,
    )
    for part, chosen in (parts or {}).items():
        taken = ([side[i] for i in chosen] if side is not None else None for side in (predictions, references, sources))
        picked = dict(zip(("predictions", "references", "sources"), taken, strict=True))
        scores.add(part, score(names, protocol=protocol, labels=labels, **picked))
    return scores


def prepare(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    protocol: Protocol,
    sources: Sequence[str] | None = None,
) -> Items:
    """The items that `protocol` scores, in the order in which their inputs come first.

    Of several predictions for one input the last one counts, as in the LoRA repository's gpt2_decode.py. A reference
    that is empty is none, and an item without any reference is not scored.
    """
    keys = sources if protocol.groups_inputs and sources is not None else range(len(predictions))
    texts: dict = {}
    gathered: dict = {}
    for key, text, refs in zip(keys, predictions, references, strict=True):
        texts[key] = text
        gathered.setdefault(key, []).extend(refs)
    kept = {key: refs for key in texts if (refs := protocol.choose(gathered[key]))}
    places = {key: i for i, key in enumerate(kept)}
    chosen = [protocol.prediction(texts[key]) for key in kept]
    return Items(chosen, list(kept.values()), [places.get(key) for key in keys])


def compute(name: str, items: Items, protocol: Protocol) -> Score:
    """What one metric says of `items`."""
    metric, arguments = find(name)
    if not items.predictions:
        return Score({name.partition("=")[0]: None}, "nothing", reason=EMPTY)
    return metric(items.predictions, items.references, protocol, *arguments)


def find(name: str) -> tuple[Callable[..., Score], list[str]]:
    """The function of a metric, and the argument that its name brings. Raises ValueError where there is none such."""
    plain, equals, argument = name.partition("=")
    if plain not in metrics():
        raise ValueError(f"there is no metric {plain}; there are {', '.join(metrics())}")
    function = getattr(import_module(f"peft_cli.metrics.{plain}"), plain)
    needed = [*inspect.signature(function).parameters][3:]
    if bool(needed) != bool(equals and argument):
        raise ValueError(
            f"{name} is not possible: write {plain}=<{needed[0]}>" if needed else f"{plain} takes no argument"
        )
    if needed and not Path(argument.partition("@")[0]).is_dir():
        raise ValueError(f"{name} is not possible: there is no folder {argument.partition('@')[0]}")
    return function, [argument] if argument else []


def metrics() -> list[str]:
    """The names of all metrics: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def check_request(protocol: str | None, more_metrics: list[str]) -> None:
    """Raises ValueError unless there are such a protocol and such metrics."""
    if protocol is not None:
        load(protocol)
    for name in more_metrics:
        find(name)


def describe(items: Items, protocol: Protocol) -> dict:
    """What was scored: protocol, number of items, and for each number of references how many items have so many."""
    counts = Counter(map(len, items.references))
    return {
        "protocol": protocol.name,
        "items": len(items.predictions),
        "unreferenced": items.places.count(None),
        "references": [[n, counts[n]] for n in sorted(counts)],
    }


def signature(told: Mapping) -> str:
    """The part of a signature that all metrics share, such as "protocol:e2e|items:630|refs:1-45"."""
    counts = [n for n, _ in told["references"]] or [0]
    span = counts[0] if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    unreferenced = f"|unreferenced:{told['unreferenced']}" if told["unreferenced"] else ""
    return f"protocol:{told['protocol']}|items:{told['items']}|refs:{span}{unreferenced}"


def by_example(found: Mapping[str, Score], place: int | None) -> dict[str, float | None]:
    """The scores of one item, by column; None where it has no reference."""
    columns = {key: values for one in found.values() for key, values in one.examples.items()}
    return {key: None if place is None else values[place] for key, values in columns.items()}
