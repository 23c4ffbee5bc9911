"""Documents to pretrain on: pairs of texts that share one task, domain and style, or plain prose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from peft_cli.pretrain.records import (
    Domain,
    Style,
    describe,
    draw_domain,
    draw_record,
    draw_style,
    linearise,
    pattern,
)
from peft_cli.pretrain.values import draw

Pair = tuple[str, str]  # source, target

PATTERN_SHARE, INSTRUCTION_SHARE = 0.6, 0.15  # of the documents of records and their texts; the rest shows pairs only
PRIVATE_SHARE, SHOWN_PRIVATE_SHARE = (
    0.5,
    0.2,
)  # of the styles with a pattern, and of those that three pairs or more show
NAMED_TASK_SHARE = 0.7  # of the documents of other tasks


def draw_document(rng: Random, words: list[str], prose: list[str], pairs: int) -> list[Pair]:
    """`pairs` pairs of one task; most documents name the task in front of the first source."""
    kind = rng.choices(["describe", "record", "prose"], weights=[74, 16, 10])[0]
    if kind == "describe":
        return describe_records(rng, words, draw_domain(rng, words), pairs)
    if kind == "record":
        task = rng.choice(list(RECORD))
        domain = draw_domain(rng, words)
        style = draw_style(rng, domain, private_share=0)
        chosen = rng.choice(list(domain.fields))
        records = [draw_record(rng, words, domain, style) for _ in range(pairs)]
        drawn = [(linearise(style, *record), RECORD[task](*record, chosen)) for record in records]
        name = task.format(field=chosen)
    else:
        name = rng.choice(list(PROSE))
        drawn = [PROSE[name](rng, rng.choice(prose)) for _ in range(pairs)]
    return add_task(name, drawn) if rng.random() < NAMED_TASK_SHARE else drawn


def describe_records(rng: Random, words: list[str], domain: Domain, pairs: int) -> list[Pair]:
    """`pairs` records of `domain` with texts in one style; a pattern or a few words about it may stand in front."""
    task = rng.choices(
        ["pattern", "instruction", "nothing"],
        weights=[PATTERN_SHARE, INSTRUCTION_SHARE, 1 - PATTERN_SHARE - INSTRUCTION_SHARE],
    )[0]
    shown = SHOWN_PRIVATE_SHARE if task == "nothing" and pairs > 2 else 0
    style = draw_style(rng, domain, private_share=PRIVATE_SHARE if task == "pattern" else shown)
    if not style.kind_field:  # a text could not know the kind
        domain = replace(domain, kinds=[rng.choice(domain.kinds)])
    records = [draw_record(rng, words, domain, style) for _ in range(pairs)]
    drawn = [(linearise(style, *record), describe(rng, words, domain, style, record)) for record in records]
    if task == "pattern":
        return add_task(pattern(rng, words, domain, style, records), drawn)
    return add_task(instruction(style), drawn) if task == "instruction" else drawn


def add_task(task: str, pairs: list[Pair]) -> list[Pair]:
    """`pairs` with `task` in front of the first source."""
    (source, target), *others = pairs
    return [(f"{task} : {source}", target), *others]


def instruction(style: Style) -> str:
    """A style in a few words: "describe, short sentences, cheerful"."""
    length = {1: "short sentences", 2: "sentences", 3: "long sentences", 9: "one sentence"}[style.per_sentence]
    tone = "cheerful" if "!" in style.ending + style.prefix else "plain"
    return f"describe, {length}, {tone}"


def short_pair(rng: Random, words: list[str]) -> Pair:
    """A few words to copy, or a few fields behind the name of the one whose value is the target."""

    def value() -> str:
        return draw(rng.choice(["title", "word", "number 1 999"]), rng, words)

    if rng.random() < 0.5:
        text = " ".join(value() for _ in range(rng.randint(1, 5)))
        return f"copy : {text}", text
    fields = {field: value() for field in rng.sample(words, rng.randint(2, 5))}
    wanted = rng.choice(list(fields))
    return f"{wanted} : " + " | ".join(f"{field} : {text}" for field, text in fields.items()), fields[wanted]


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


RECORD: dict[str, Callable[[str, str, dict[str, str], str], str]] = {
    "name": lambda name, kind, values, chosen: name,
    "{field}": lambda name, kind, values, chosen: values.get(chosen, "unknown"),
    "copy": lambda name, kind, values, chosen: " | ".join([name, kind, *values.values()]),
    "backwards": lambda name, kind, values, chosen: ", ".join([*reversed(values.values()), name]),
    "list": lambda name, kind, values, chosen: f"{name} - " + " - ".join(f"{k} {v}" for k, v in values.items()),
    "count": lambda name, kind, values, chosen: f"{len(values)} facts about {name}",
    "headline": lambda name, kind, values, chosen: f"{name.upper()}: {next(iter(values.values()))}",
    "question": lambda name, kind, values, chosen: f"What is the {chosen} of {name}?",
    "values": lambda name, kind, values, chosen: ", ".join(values.values()),
    "fields": lambda name, kind, values, chosen: ", ".join(values),
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
