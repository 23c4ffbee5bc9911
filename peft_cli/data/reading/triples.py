"""Sets of triples (subject, relation, object) as one line of text, and texts about them as examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from peft_cli.data import Example


class Entry(NamedTuple):
    """A set of triples and the texts about it, none for an entry whose texts were all found wanting."""

    triples: Sequence[Sequence[str]]
    texts: Sequence[str]
    subset: str | None = None


def linearise(triples: Iterable[Sequence[str]], leading_bar: bool = False) -> str:
    """[("A", "b", "C"), ("A", "d", "E")] as "A : b : C | A : d : E", or with a bar in front of that."""
    return ("| " if leading_bar else "") + " | ".join(" : ".join(triple) for triple in triples)


def pairs(entries: Sequence[Entry], leading_bar: bool = False) -> list[Example]:
    """A training example for each text, numbered in the order of the file."""
    every = [(linearise(entry.triples, leading_bar), text) for entry in entries for text in entry.texts]
    return [Example(f"train-{i}", source, (text,)) for i, (source, text) in enumerate(every)]


def inputs(entries: Sequence[Entry], split: str, leading_bar: bool = False) -> list[Example]:
    """An example for each entry that has a text, with all its texts as references."""
    written = [(i, entry, tuple(filter(str.strip, entry.texts))) for i, entry in enumerate(entries)]
    return [
        Example(f"{split}-{i}", linearise(entry.triples, leading_bar), texts, entry.subset)
        for i, entry, texts in written
        if texts
    ]
