"""Documents to pretrain on: pairs of texts that share one task, domain and style, or plain prose."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from peft_cli.embedded.records import (
    Domain,
    Style,
    describe,
    draw_domain,
    draw_record,
    draw_style,
    linearise,
    named_domain,
)

Pair = tuple[str, str]  # source, target


def document(rng: Random, words: list[str], prose: list[str], pairs: int) -> list[Pair]:
    """`pairs` pairs of one task; a third of the documents say in front of each source what is to be done."""
    kind = rng.choices(["describe", "record", "prose"], weights=[70, 18, 12])[0]
    if kind == "prose":
        task = rng.choice(list(PROSE))
        return [PROSE[task](rng, rng.choice(prose)) for _ in range(pairs)]
    domain = draw_domain(rng, words)
    style = draw_style(rng, domain)
    make = describe_pair if kind == "describe" else RECORD[task := rng.choice(list(RECORD))]
    chosen = rng.choice(list(domain.fields))
    made = [make(rng, words, domain, style, chosen) for _ in range(pairs)]
    if rng.random() < 0.3:
        told = f"{instruction(style) if kind == 'describe' else task.format(field=chosen)} : "
        made = [(told + source, target) for source, target in made]
    return made


def described(rng: Random, words: list[str], key: str, pairs: int) -> list[Pair]:
    """`pairs` records of the domain `key` of domains.yaml, with their texts in one style."""
    domain = named_domain(key)
    style = draw_style(rng, domain)
    return [describe_pair(rng, words, domain, style, "") for _ in range(pairs)]


def instruction(style: Style) -> str:
    """Words that name what is plainest in a style: "describe, short sentences, cheerful"."""
    length = {1: "short sentences", 2: "sentences", 3: "long sentences", 9: "one sentence"}[style.per_sentence]
    tone = "cheerful" if "!" in style.ending + style.prefix else "plain"
    return f"describe, {length}, {tone}"


def describe_pair(rng: Random, words: list[str], domain: Domain, style: Style, chosen: str) -> Pair:
    """A record and its text in the document's style."""
    record = draw_record(rng, words, domain, style)
    return linearise(style, *record), describe(rng, words, domain, style, record)


def record_task(answer: Callable[[str, str, dict[str, str], str], str]) -> Callable[..., Pair]:
    """A task whose target is what `answer` makes of a record's name, kind, fields and one chosen field."""

    def make(rng: Random, words: list[str], domain: Domain, style: Style, chosen: str) -> Pair:
        name, kind, values = draw_record(rng, words, domain, style)
        return linearise(style, name, kind, values), answer(name, kind, values, chosen)

    return make


def prose_task(answer: Callable[[Random, list[str]], Pair]) -> Callable[[Random, str], Pair]:
    """A task on the first words of a paragraph."""

    def make(rng: Random, paragraph: str) -> Pair:
        return answer(rng, paragraph.split()[: rng.randint(5, 25)])

    return make


def gap(rng: Random, words: list[str]) -> Pair:
    """A text with a hole, and what stood there."""
    i = rng.randrange(len(words))
    n = rng.randint(1, 3)
    return " ".join([*words[:i], "___", *words[i + n :]]), " ".join(words[i : i + n])


RECORD = {
    "name": record_task(lambda name, kind, values, chosen: name),
    "{field}": record_task(lambda name, kind, values, chosen: values.get(chosen, "unknown")),
    "copy": record_task(lambda name, kind, values, chosen: " | ".join([name, kind, *values.values()])),
    "backwards": record_task(lambda name, kind, values, chosen: ", ".join([*reversed(values.values()), name])),
    "list": record_task(
        lambda name, kind, values, chosen: f"{name} - " + " - ".join(f"{k} {v}" for k, v in values.items())
    ),
    "count": record_task(lambda name, kind, values, chosen: f"{len(values)} facts about {name}"),
    "headline": record_task(lambda name, kind, values, chosen: f"{name.upper()}: {next(iter(values.values()))}"),
    "question": record_task(lambda name, kind, values, chosen: f"What is the {chosen} of {name}?"),
    "values": record_task(lambda name, kind, values, chosen: ", ".join(values.values())),
    "fields": record_task(lambda name, kind, values, chosen: ", ".join(values)),
}
PROSE = {
    "copy": prose_task(lambda rng, words: (" ".join(words), " ".join(words))),
    "first": prose_task(lambda rng, words: (" ".join(words), " ".join(words[:3]))),
    "last": prose_task(lambda rng, words: (" ".join(words), words[-1])),
    "backwards": prose_task(lambda rng, words: (" ".join(words[:10]), " ".join(reversed(words[:10])))),
    "go on": prose_task(lambda rng, words: (" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :]))),
    "gap": prose_task(gap),
    "upper": prose_task(lambda rng, words: (" ".join(words), " ".join(words).upper())),
}
