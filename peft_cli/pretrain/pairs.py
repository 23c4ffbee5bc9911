"""Texts with classes, from the grammars of records: pairs of which one may entail the other, and kinds of things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from peft_cli.data import Example
from peft_cli.pretrain.records import HELD_OUT, Domain, Style, describe, draw_record, draw_style, grammar, named_domain
from peft_cli.pretrain.values import draw

ENTAILMENT, NEUTRAL, CONTRADICTION = LABELS = ("entailment", "neutral", "contradiction")
KIND_SHARE = 0.3  # of the hypotheses that tell a thing's kind


def nli(split: str, count: int, between: str) -> list[Example]:
    """`count` texts about things of domains that are not held out, each with a sentence that may follow from it."""
    domains = [key for key in grammar() if key != "generic" and key not in HELD_OUT]
    return [example(Random(f"nli/{split}/{i}"), f"{split}-{i}", domains, between) for i in range(count)]


def kinds(split: str, count: int, domains: Sequence[str]) -> list[Example]:
    """`count` texts about things of `domains`, as many of each; the class is the domain."""
    found = []
    for i in range(count):
        rng = Random(f"kinds/{split}/{i}")
        key = domains[i % len(domains)]
        domain, style = named_domain(key), draw_style(rng, named_domain(key), private_share=0)
        found.append(Example(f"{split}-{i}", describe(rng, words(), domain, style, record(rng, domain, style)), (key,)))
    return found


def example(rng: Random, identity: str, domains: list[str], between: str) -> Example:
    """One pair with its class."""
    key, label = rng.choice(domains), rng.choice(LABELS)
    domain = named_domain(key)
    style = draw_style(rng, domain, private_share=0)
    style.roles = {field: "say" if role == "left out" else role for field, role in style.roles.items()}
    thing = record(rng, domain, style)
    name, kind, values = thing
    premise = describe(rng, words(), domain, style, thing)
    untold = [field for field in domain.fields if field not in values]
    if (label != NEUTRAL and rng.random() < KIND_SHARE) or (label == NEUTRAL and not untold):
        label = ENTAILMENT if label == NEUTRAL else label
        others = [other for other in domains if other != key]
        claimed = kind if label == ENTAILMENT else rng.choice(named_domain(rng.choice(others)).kinds)
        claim = f"is {'an' if claimed[0].lower() in 'aeiou' else 'a'} {claimed}"
    else:
        field = rng.choice(untold if label == NEUTRAL else list(values))
        claim = says(rng, domain, field, None if label != ENTAILMENT else values[field], values.get(field))
    return Example(identity, f"{premise}{between}{rng.choice(['It', name])} {claim}.", (label,))


def record(rng: Random, domain: Domain, style: Style) -> tuple:
    """A thing of `domain`."""
    return draw_record(rng, words(), domain, style)


def says(rng: Random, domain: Domain, field: str, value: str | None, not_this: str | None) -> str:
    """A predicate which says that `field` has `value`; where that is None, another one than `not_this`."""
    spec = domain.fields[field]
    while value is None:
        drawn = draw(spec["value"], rng, words())
        value = drawn if drawn != not_this else None
    options = spec["cases"][value] if "cases" in spec else spec
    return rng.choice(options.get("say") or [f"is {mod}" for mod in options["mod"]]).replace("{v}", value)


@cache
def words() -> list[str]:
    """The words that the grammars' own phrases are made of."""
    text = str([domain for key, domain in grammar().items() if key != "generic"])
    return sorted(set(re.findall(r"\b[a-z]{4,}\b", text)))
