"""Sets of triples (subject, relation, object) as one line of text, and texts about them as examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from typing_extensions import TypedDict

from peft_cli.data import Example


class Entry(NamedTuple):
    """A set of triples and the texts about it; no texts where none of its texts is marked good."""

    triples: Sequence[Sequence[str]]
    texts: Sequence[str]
    subset: str | None = None


class TripleSets(TypedDict):
    """The triples of a row of WebNLG on the hub; the first list is the input."""

    mtriple_set: list[list[str]]


class MarkedTexts(TypedDict):
    """The texts of a row of WebNLG on the hub, each with the annotators' mark."""

    comment: list[str]
    text: list[str]


class HubEntry(TypedDict):
    """A row of WebNLG on the hub."""

    category: str
    test_category: str  # the file that a test row comes from
    modified_triple_sets: TripleSets
    lex: MarkedTexts


def split_triples(lines: Sequence[str]) -> list[list[str]]:
    """Triples written as "subject | relation | object", each in its three parts."""
    triples = [line.split(" | ") for line in lines]
    for line, triple in zip(lines, triples, strict=True):
        if len(triple) != 3:
            raise ValueError(f"the triple {line!r} has {len(triple)} parts where there have to be three")
    return triples


def linearise(triples: Iterable[Sequence[str]], leading_bar: bool = False) -> str:
    """[("A", "b", "C"), ("A", "d", "E")] as "A : b : C | A : d : E", or with a bar in front of that."""
    return ("| " if leading_bar else "") + " | ".join(" : ".join(triple) for triple in triples)


def text_examples(entries: Iterable[Entry], leading_bar: bool = False) -> list[Example]:
    """A training example for each text, numbered in the order of the file."""
    every = [(linearise(entry.triples, leading_bar), text) for entry in entries for text in entry.texts]
    return [Example(f"train-{i}", source, (text,)) for i, (source, text) in enumerate(every)]


def entry_examples(entries: Iterable[Entry], split: str, leading_bar: bool = False) -> list[Example]:
    """An example for each entry that has a text, with all its texts as references."""
    written = [(i, entry, tuple(filter(str.strip, entry.texts))) for i, entry in enumerate(entries)]
    return [
        Example(f"{split}-{i}", linearise(entry.triples, leading_bar), texts, entry.subset)
        for i, entry, texts in written
        if texts
    ]
