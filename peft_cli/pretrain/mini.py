"""Generator of the embedded data set mini: invented garden plants, described as in a nursery's catalogue.

`python -m peft_cli.pretrain.mini` writes embedded/mini/{train,validation,test}.jsonl, the same bytes on every machine:
each draw uses Random.random, the one sequence that Python promises to keep. mini_grammar.yaml has the words and their
weights; this file puts them together:

    record   name, kind and one to five more fields, written "name : Mothlight Queen | kind : sage | water : little"
    text     an opening around a noun phrase, then sentences of one to three predicates
    wording  depends on the value, for some fields on the plant's group too, for some on a second field
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "embedded" / "mini"
SEED = 2024
SPLITS = {"train": (800, [1]), "validation": (200, [2, 3, 4]), "test": (200, [2, 3, 4])}  # rows, references of each


def write_splits(folder: Path) -> None:
    """Writes {train,validation,test}.jsonl into the folder."""
    for split, rows in generate(read_grammar(), SEED).items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="ascii", newline="\n")


def read_grammar() -> dict[str, Any]:
    """The tables of mini_grammar.yaml."""
    tables: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("mini_grammar.yaml").read_text(encoding="ascii"))
    return tables


def generate(grammar: dict[str, Any], seed: int) -> dict[str, list[dict[str, Any]]]:
    """The rows {id, source, references} of each split. No name occurs twice, so no source does."""
    rng = Random(seed)
    names: set[str] = set()
    return {
        split: [draw_row(f"{split}-{i:04}", counts, names, grammar, rng) for i in range(1, n_rows + 1)]
        for split, (n_rows, counts) in SPLITS.items()
    }


def draw_row(row_id: str, counts: list[int], names: set[str], grammar: dict[str, Any], rng: Random) -> dict[str, Any]:
    """One example. Its references are distinct texts about one record, each an independent draw."""
    record = draw_record(draw_name(names, grammar["names"], rng), grammar, rng)
    n_references = one_of(counts, rng)
    writer = Writer(record, grammar, rng)
    references: list[str] = []
    while len(references) < n_references:
        text = writer.text()
        if text not in references:
            references.append(text)
    return {"id": row_id, "source": linearise(record), "references": references}


def linearise(record: dict[str, str]) -> str:
    """The record as a model reads it."""
    return " | ".join(f"{field} : {value}" for field, value in record.items())


def draw_name(names: set[str], tables: dict[str, Any], rng: Random) -> str:
    """An invented cultivar that is not in `names`; it is added to them."""
    while True:
        parts = {slot: "".join(one_of(column, rng) for column in columns) for slot, columns in tables["slots"].items()}
        name = pick(tables["patterns"], rng).format(**parts)
        if name not in names:
            names.add(name)
            return name


def draw_record(name: str, grammar: dict[str, Any], rng: Random) -> dict[str, str]:
    """Name, kind and one to five more fields; in three records of ten the last two fields change places."""
    kind = one_of([kind for group in grammar["groups"] for kind in group["kinds"]], rng)
    fields = draw_fields(grammar["fields"], rng)
    if rng.random() < 0.3:
        fields[-2:] = reversed(fields[-2:])
    values = {field: draw_value(field, group_of(kind, grammar), grammar, rng) for field in fields}
    return {"name": name, "kind": kind, **values}


def group_of(kind: str, grammar: dict[str, Any]) -> dict[str, Any]:
    """The group of plants that a kind belongs to."""
    groups: list[dict[str, Any]] = grammar["groups"]
    return next(group for group in groups if kind in group["kinds"])


def draw_fields(table: dict[str, Any], rng: Random) -> list[str]:
    """Fields besides name and kind, in the grammar's order; at least one of them becomes a predicate."""
    weights = table["weights"]
    chosen = [pick({field: weights[field] for field in table["with_verb"]}, rng)]
    for _ in range(pick(table["count"], rng) - 1):
        chosen.append(pick({field: weight for field, weight in weights.items() if field not in chosen}, rng))
    return [field for field in weights if field in chosen]


def draw_value(field: str, group: dict[str, Any], grammar: dict[str, Any], rng: Random) -> str:
    """A value of a field for a plant of `group`."""
    if field == "height":
        lowest, highest, step = group["heights"]
        return f"{one_of(range(lowest, highest + 1, step), rng)} cm"
    values = group["colours"] if field == "colour" else grammar["values"][field]
    return str(one_of(list(values), rng))


@dataclass
class Writer:
    """Writes texts about one record; each text is another draw from the grammar."""

    record: dict[str, str]
    grammar: dict[str, Any]
    rng: Random

    @cached_property
    def group(self) -> dict[str, Any]:
        """The group of plants that the record's kind belongs to."""
        return group_of(self.record["kind"], self.grammar)

    @cached_property
    def facts(self) -> dict[str, str]:
        """The record's fields; two of them that have a meaning together are one."""
        facts = dict(self.record)
        if "hardy" in facts and "origin" in facts:
            facts["hardy"] += ", " + self.grammar["values"]["origin"][facts["origin"]]["climate"]
        if "height" in facts and self.height_cm() <= self.grammar["sizes"][-1]["up_to"]:
            facts["size"] = facts.pop("height")
        return facts

    def height_cm(self) -> int:
        """The height as a number."""
        return int(self.record["height"].removesuffix(" cm"))

    def text(self) -> str:
        """One text about the record."""
        opening, thing, groups = self.pick("openings"), self.noun_phrase(), self.group_predicates()
        first = groups.pop(0) if "{first}" in opening else ""
        sentences = [opening.format(name=self.record["name"], thing=thing, first=first)]
        for predicates in groups:
            subject = self.pick("subjects").format(group=self.group["name"])
            sentences.append(f"{subject} {predicates}.")
        return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)

    def noun_phrase(self) -> str:
        """The noun for the plant, with those of article, temper, size, origin, kind and colour that are known."""
        phrase = " ".join(filter(None, [self.temper(), self.size(), self.kind(), self.colour()]))
        article = "an" if phrase[0] in "aeiouAEIOU8" else "a"  # 8: an 80 cm fern
        return f"{article} {phrase}"

    def temper(self) -> str:
        """A word for a plant that is easy, or hard, in both water and frost; no field has it."""
        needs = f"{self.record.get('water')}, {self.record.get('hardy')}"
        return self.pick("tempers", needs) if needs in self.grammar["tempers"] else ""

    def size(self) -> str:
        """A word for the height of a plant that is not tall; a tall one has a predicate."""
        if "size" not in self.facts:
            return ""
        words = next(size["words"] for size in self.grammar["sizes"] if self.height_cm() <= size["up_to"])
        return pick(words, self.rng).format(height=self.record["height"])

    def kind(self) -> str:
        """The kind, with the origin where that is known."""
        if "origin" not in self.record:
            return self.record["kind"]
        people = self.grammar["values"]["origin"][self.record["origin"]]["people"]
        return self.pick("birthplaces").format(people=people, **self.record)

    def colour(self) -> str:
        """The colour, where it is known, and the part of the plant that has it."""
        if "colour" not in self.record:
            return ""
        shade = pick(self.group["colours"][self.record["colour"]], self.rng)
        return f"with {shade} {self.group['kinds'][self.record['kind']]}"

    def group_predicates(self) -> list[str]:
        """The predicates of each sentence, joined."""
        fields = [field for field in self.pick("orders").split() if field in self.facts]
        groups, start = [], 0
        for size in map(int, self.pick("groupings", len(fields)).split()):
            groups.append(self.join(fields[start : start + size]))
            start += size
        return groups

    def join(self, fields: Sequence[str]) -> str:
        """The predicates of `fields`; "but" is before the last where its tone is opposite to its neighbour's."""
        *body, last = map(self.predicate, fields)
        if not body:
            return last
        tones = [self.grammar["tones"].get(self.facts[field], 0) for field in fields[-2:]]
        if tones[0] * tones[1] < 0:
            return f"{' and '.join(body)}, but {last}"
        return f"{', '.join(body)} and {last}"

    def predicate(self, field: str) -> str:
        """The verb phrase about a field."""
        value = self.facts[field]
        if field == "height":
            wording = self.pick("predicates", field)
        elif field == "season":
            wording = self.pick("predicates", field, self.group["name"])
        elif field == "edible":
            wording = self.pick("predicates", field, self.group["name"], value)
        else:
            wording = self.pick("predicates", field, value)
        time = self.pick("values", "season", value) if field == "season" else ""
        return wording.format(time=time, height=self.record.get("height"), shelter=self.group["shelter"])

    def pick(self, *path: str | int) -> str:
        """A draw from the table at a path of the grammar."""
        table: Any = self.grammar
        for key in path:
            table = table[key]
        return str(pick(table, self.rng))


def pick(weights: Mapping[Any, int], rng: Random) -> Any:
    """A key, drawn in proportion to its weight."""
    ticket = int(rng.random() * sum(weights.values()))
    for choice, weight in weights.items():
        ticket -= weight
        if ticket < 0:
            return choice
    raise ValueError(f"the weights {dict(weights)} hold nothing to draw")


def one_of(options: Sequence[Any], rng: Random) -> Any:
    """One of the options, all as likely."""
    return options[int(rng.random() * len(options))]


if __name__ == "__main__":
    write_splits(FOLDER)
