"""Texts with classes from the grammars of records: the data sets mini_nli and mini_kinds that ship in embedded/.

`python -m peft_cli.pretrain.pairs` writes {train,validation,test}.jsonl.xz of both. A row is a function of its split
and number, whatever the number of rows.

    mini_nli     premise, hypothesis, label: the hypothesis follows (entailment), cannot be (contradiction), or neither
    mini_kinds   bridge, parcel, pet: a text about a thing of each of these kinds
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from peft_cli.pretrain.records import (
    HELD_OUT,
    Domain,
    Record,
    describe,
    draw_record,
    draw_style,
    grammar,
    named_domain,
)
from peft_cli.pretrain.values import draw

EMBEDDED = Path(__file__).parents[1] / "embedded"
LABELS = ("entailment", "neutral", "contradiction")
KIND_SHARE = 0.3  # of the hypotheses that name a thing's kind

Row = dict[str, str]


def nli_row(split: str, i: int) -> Row:
    """Row `i` of mini_nli: a text about a thing of a domain that is not held out, and a sentence about that thing."""
    rng = Random(f"nli/{split}/{i}")
    domains = [key for key in grammar() if key != "generic" and key not in HELD_OUT]
    key, label = rng.choice(domains), rng.choice(LABELS)
    domain = named_domain(key)
    style = draw_style(rng, domain, private_share=0)
    style.roles = {field: "say" if role == "left out" else role for field, role in style.roles.items()}
    record = draw_record(rng, words(), domain, style)
    premise = describe(rng, words(), domain, style, record)
    absent = [field for field in domain.fields if field not in record[2]]
    if label != "neutral" and rng.random() < KIND_SHARE:
        claim = kind_claim(rng, key, domains, record[1] if label == "entailment" else None)
    elif label == "neutral" and not absent:
        label, claim = "entailment", kind_claim(rng, key, domains, record[1])
    else:
        claim = field_claim(rng, domain, rng.choice(absent if label == "neutral" else list(record[2])), label, record)
    return {"premise": premise, "hypothesis": f"{rng.choice(['It', record[0]])} {claim}.", "label": label}


def kind_claim(rng: Random, key: str, domains: list[str], kind: str | None) -> str:
    """The predicate "is a train" with `kind`; where that is None, with a kind of a domain other than `key`."""
    claimed = kind or rng.choice(named_domain(rng.choice([other for other in domains if other != key])).kinds)
    return f"is {'an' if claimed[0].lower() in 'aeiou' else 'a'} {claimed}"


def field_claim(rng: Random, domain: Domain, field: str, label: str, record: Record) -> str:
    """A predicate about `field`: the record's value where `label` is entailment, any other value where it is not."""
    spec, true_value = domain.fields[field], record[2].get(field)
    value = true_value if label == "entailment" else None
    while value is None:
        drawn = draw(spec["value"], rng, words())
        value = drawn if drawn != true_value else None
    wordings = spec["cases"][value] if "cases" in spec else spec
    predicates = wordings.get("say") or [f"is {mod}" for mod in wordings["mod"]]
    return rng.choice(predicates).replace("{v}", value)


def kinds_row(split: str, i: int) -> Row:
    """Row `i` of mini_kinds: a text about a thing of each held-out domain."""
    return {key: kind_text(Random(f"kinds/{split}/{i}"), named_domain(key)) for key in HELD_OUT}


def kind_text(rng: Random, domain: Domain) -> str:
    """A text about a thing of `domain`."""
    style = draw_style(rng, domain, private_share=0)
    record = draw_record(rng, words(), domain, style)
    return describe(rng, words(), domain, style, record)


@cache
def words() -> list[str]:
    """The words of the grammars' own phrases."""
    text = str([domain for key, domain in grammar().items() if key != "generic"])
    return sorted(set(re.findall(r"\b[a-z]{4,}\b", text)))


SETS: dict[str, tuple[Callable[[str, int], Row], dict[str, int]]] = {
    "mini_nli": (nli_row, {"train": 50_000, "validation": 500, "test": 500}),
    "mini_kinds": (kinds_row, {"train": 300, "validation": 150, "test": 300}),
}  # data set -> its row of a split and a number, and how many rows each split has


def write_set(name: str, folder: Path) -> None:
    """Writes {train,validation,test}.jsonl.xz of a data set into `folder`."""
    make_row, sizes = SETS[name]
    for split, size in sizes.items():
        text = "".join(json.dumps(make_row(split, i)) + "\n" for i in range(size))
        (folder / f"{split}.jsonl.xz").write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    for set_name in SETS:
        write_set(set_name, EMBEDDED / set_name)
