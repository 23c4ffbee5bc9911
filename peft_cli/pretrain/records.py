"""Record-to-text pairs in many domains and styles, to pretrain the embedded backbones.

A document is a few pairs with one domain and one style. In front of a pair there is a pattern with slots, or earlier
pairs, or a few words of instruction, from which a model learns how the next text has to look: the skill that a trained
prompt uses. A style fixes the order of the fields, the role and the wording of each, and how sentences are opened,
grouped and joined; some styles have private wordings, which no other document has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from peft_cli.pretrain.values import draw

PERSONS = {"athlete", "scientist", "politician", "soldier", "king", "patient", "wizard"}
HELD_OUT = ("bridge", "parcel", "pet")  # domains that no backbone is trained on; they measure it
OPENINGS = [
    "{name} is {a} {np}",
    "{name} is {a} {np}",
    "There is {a} {np} called {name}",
    "{name}, {a} {np},",  # goes on with the first clause
    "The {np} {name}",  # goes on likewise
    "{name}",
    "Meet {name}, {a} {np}",
    "This {kind} is called {name}",
    "We know {a} {np} by the name of {name}",
    "Have you heard of {name}, {a} {np}?",
    "{a} {np}: {name}",
    "Look at {name}, {a} {np}",
    "Here comes {name}, {a} {np}",
    "{name}: {a} {np}",
]
SUBJECTS = ["It", "It", "The {kind}", "This {kind}", "{name}", "This one"]
JOINTS = [
    " and ",
    ", and ",
    ", ",
    "; it ",
    ", and it ",
    ", but also ",
    " as well as that it ",
    ", while it ",
    " and also ",
]
PREFIXES = [""] * 12 + ["Look: ", "Note: ", "By the way, ", "We read that ", "Good news! ", "Listen. ", "Dear reader, "]
ENDINGS = ["."] * 12 + ["!", "!", " .", "", ". Thank you.", ". That is all.", ", they say."]
NAME_FIELDS = ["name"] * 6 + ["title", "called", "id", "label"]
KIND_FIELDS = ["kind", "type", "sort", "category"]
SEPARATORS = [" | "] * 8 + [" ; ", ", "]

Record = tuple[str, str, dict[str, str]]  # the name, the kind and the fields of a thing


@dataclass
class Style:
    """How all texts of one document are written."""

    opening: str
    subject: str
    joint: str
    per_sentence: int  # clauses in a sentence
    prefix: str
    ending: str
    roles: dict[str, str] = field(default_factory=dict)  # field -> say | mod | adj | left out
    phrases: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict
    )  # (field, value or "") -> role, wording
    order: dict[str, float] = field(default_factory=dict)  # field -> its place in the text
    name_field: str = "name"
    kind_field: str | None = None
    separator: str = " | "
    shuffled: bool = False  # the fields of each record stand in an order of their own
    private: bool = False  # wordings made of words that mean nothing here


@dataclass
class Domain:
    """A class of things: the nouns for it, the generator of its names, its fields and their wordings."""

    kinds: list[str]
    name: str
    fields: dict[str, dict[str, Any]]
    is_person: bool = False


@cache
def grammar() -> dict[str, dict[str, Any]]:
    """The wordings of all domains, from domains.yaml."""
    return yaml.safe_load((Path(__file__).parent / "domains.yaml").read_text(encoding="utf-8"))


def draw_domain(rng: Random, words: list[str]) -> Domain:
    """A domain of domains.yaml that is not held out, or a random one of general nouns and fields."""
    domains = grammar()
    if rng.random() < 0.3:
        return generic_domain(rng, words, domains["generic"])
    return named_domain(rng.choice([key for key in domains if key != "generic" and key not in HELD_OUT]))


def named_domain(key: str) -> Domain:
    """The domain `key` of domains.yaml."""
    domain = grammar()[key]
    return Domain(domain["kinds"], domain["name"], domain["fields"], is_person=key in PERSONS)


def generic_domain(rng: Random, words: list[str], wording: dict[str, Any]) -> Domain:
    """A domain with five to nine fields of random names and random values."""
    fields: dict[str, dict[str, Any]] = {}
    for name in rng.sample(wording["fields"], rng.randint(5, 9)):
        values: str | list[str] = rng.choice(
            ["word", "word", "title", "number 1 900", "place", "person", "closed", "closed", "two words"]
        )
        if values == "closed":
            values = [rng.choice(words) for _ in range(rng.randint(2, 5))]
        elif values == "two words":
            values = [f"{rng.choice(words)} {rng.choice(words)}" for _ in range(6)]
        say, mod = ([p.replace("{f}", name) for p in wording[role]] for role in ("say", "mod"))
        fields[name] = {"value": values, "say": say, "mod": mod}
    kinds = rng.sample(wording["kinds"], 3) + [rng.choice(words) for _ in range(2)]
    return Domain(kinds, rng.choice(["title", "title", "person", "place"]), fields)


def draw_style(rng: Random, domain: Domain, private_share: float) -> Style:
    """A style for `domain`; its wordings are drawn when they are first used, and kept.

    `private_share` is the probability of private wordings.
    """
    style = Style(
        opening=rng.choice(OPENINGS),
        subject=rng.choice(["She", "He", "{name}"] if domain.is_person else SUBJECTS),
        joint=rng.choice(JOINTS),
        per_sentence=rng.choice([1, 1, 2, 2, 3, 9]),
        prefix=rng.choice(PREFIXES),
        ending=rng.choice(ENDINGS),
        name_field=rng.choice(NAME_FIELDS),
        kind_field=rng.choice([None, *KIND_FIELDS, "kind"]),
        separator=rng.choice(SEPARATORS),
        shuffled=rng.random() < 0.3,
        private=rng.random() < private_share,
    )
    if domain.is_person:
        style.joint = style.joint.replace(" it ", f" {style.subject.lower()} " if style.subject != "{name}" else " ")
    in_order = rng.random() < 0.5
    for i, name in enumerate(domain.fields):
        style.order[name] = i if in_order else rng.random()
        style.roles[name] = rng.choice(["say", "say", "say", "mod", "adj"]) if rng.random() > 0.04 else "left out"
    return style


def draw_record(rng: Random, words: list[str], domain: Domain, style: Style) -> Record:
    """A thing of `domain` with two to seven fields."""
    names = rng.sample(list(domain.fields), rng.randint(min(2, len(domain.fields)), min(7, len(domain.fields))))
    if not style.shuffled:
        names.sort(key=list(domain.fields).index)
    values = {name: draw(domain.fields[name]["value"], rng, words) for name in names}
    return draw(domain.name, rng, words), rng.choice(domain.kinds), values


def linearise(style: Style, name: str, kind: str, values: dict[str, str]) -> str:
    """The record as one line: "name : Velmora | kind : express | from : Torvik"."""
    fields = {style.name_field: name} | ({style.kind_field: kind} if style.kind_field else {}) | values
    return style.separator.join(f"{key} : {value}" for key, value in fields.items())


def wording(rng: Random, words: list[str], domain: Domain, style: Style, name: str, value: str) -> tuple[str, str]:
    """The role and the phrase that the style has for field `name` with `value`."""
    spec = domain.fields[name]
    case = value if is_closed(domain, style, name) else ""
    if (name, case) not in style.phrases:
        options = spec["cases"][value] if "cases" in spec else spec
        style.phrases[name, case] = draw_wording(rng, words, style, name, options, copies=not case)
    role, phrase = style.phrases[name, case]
    return role, phrase.replace("{v}", value)


def draw_wording(
    rng: Random, words: list[str], style: Style, name: str, options: dict[str, list[str]], copies: bool
) -> tuple[str, str]:
    """A role and a phrase for field `name`: one of `options`, or a private one, with the value's slot if `copies`."""
    role = style.roles[name]
    if role != "left out" and not options.get(role):
        role = "say" if options.get("say") else "mod"
    if role == "left out":
        return role, ""
    if style.private and role == "say":
        return role, private_phrase(rng, words, name, copies)
    return role, rng.choice(options[role])


def private_phrase(rng: Random, words: list[str], name: str, copies: bool) -> str:
    """A verb phrase of random words, which a model can only learn from the same document's pattern or earlier texts."""
    phrase = [rng.choice(words) for _ in range(rng.randint(1, 4))]
    if copies:
        phrase.insert(rng.randint(0, len(phrase)), "{v}")
    if rng.random() < 0.3:
        phrase.insert(rng.randint(0, len(phrase)), name)
    return " ".join([rng.choice(["is", "has", "can", "does", "will", "likes", "needs", "gives", "shows"]), *phrase])


def describe(rng: Random, words: list[str], domain: Domain, style: Style, record: Record) -> str:
    """The text about a record in `style`."""
    name, kind, values = record
    fields = sorted(values, key=style.order.__getitem__)
    return compose(style, name, kind, [wording(rng, words, domain, style, key, values[key]) for key in fields])


def pattern(rng: Random, words: list[str], domain: Domain, style: Style, records: list[Record]) -> str:
    """The text of `style` with slots in place of values: "[name] is a train from [from]. It [takes pets / is slow]".

    It has all fields of `records` and up to two more: a model has to leave out those that a record lacks.
    """
    values: dict[str, list[str]] = {key: [] for key in rng.sample(list(domain.fields), min(2, len(domain.fields)))}
    for key, value in [item for _, _, fields in records for item in fields.items()]:
        values.setdefault(key, []).append(value)
    fields = sorted(values, key=style.order.__getitem__)
    parts = [slot(rng, words, domain, style, key, values[key]) for key in fields]
    return compose(style, "[name]", "[kind]" if style.kind_field else records[0][1], parts)


def slot(rng: Random, words: list[str], domain: Domain, style: Style, name: str, seen: list[str]) -> tuple[str, str]:
    """The role of a field and its phrase, with [name] for the value or with a phrase for each of some values."""
    if not is_closed(domain, style, name):
        return wording(rng, words, domain, style, name, f"[{name}]")
    spec = domain.fields[name]
    values = list(spec.get("cases", spec["value"]))
    shown = [value for value in values if value in seen or rng.random() < 2 / len(values)]
    phrases = [(value, *wording(rng, words, domain, style, name, value)) for value in shown]
    role = next((role for _, role, _ in phrases if role != "left out"), "left out")
    return role, f"[{name} {' / '.join(f'{value}: {phrase}' for value, _, phrase in phrases)}]"


def is_closed(domain: Domain, style: Style, name: str) -> bool:
    """Whether the style has a phrase of its own for each value of the field."""
    spec = domain.fields[name]
    return "cases" in spec or (isinstance(spec["value"], list) and style.private)


def compose(style: Style, name: str, kind: str, parts: list[tuple[str, str]]) -> str:
    """A text about `name` of phrases, in their order, each with its role."""
    by_role: dict[str, list[str]] = {"say": [], "mod": [], "adj": [], "left out": []}
    for role, phrase in parts:
        by_role[role].append(phrase)
    noun = " ".join([*by_role["adj"][:2], kind, *by_role["mod"][:3]])
    a = "an" if noun[:1].lower() in "aeiou" else "a"
    opening = style.opening.format(name=name, np=noun, kind=kind, a=a)
    subject = style.subject.format(name=name, kind=kind)
    if not style.prefix.endswith(", "):
        opening = opening[0].upper() + opening[1:]
    elif not opening.startswith(name):
        opening = opening[0].lower() + opening[1:]
    return style.prefix + join_sentences(style, opening, subject, by_role["say"])


def join_sentences(style: Style, opening: str, subject: str, clauses: list[str]) -> str:
    """An opening and clauses, joined into sentences of the style's length."""
    goes_on = opening.endswith(",") or style.opening in ("The {np} {name}", "{name}")
    groups = [clauses[i : i + style.per_sentence] for i in range(0, len(clauses), style.per_sentence)]
    texts = [style.joint.join(group) for group in groups]
    if goes_on and texts:
        texts = [f"{opening} {texts[0]}", *(f"{subject} {text}" for text in texts[1:])]
    else:
        texts = [opening.rstrip(","), *(f"{subject} {text}" for text in texts)]
    joined = ". ".join(texts).replace("?.", "?")
    return joined + style.ending if not joined.endswith("?") else joined
