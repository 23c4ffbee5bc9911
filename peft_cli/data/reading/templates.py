"""Templates with columns in them: "premise: {premise} hypothesis: {hypothesis}"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

LABEL = "label"  # stands for a class's words, or for the mask
CHANGES: dict[str, Callable[[str], str]] = {
    "": str,
    "cut": lambda text: text[:-1],  # the full stop
    "lower": lambda text: text[:1].lower() + text[1:],
}  # what follows a column's name and a colon -> the text in the template's place


@dataclass(frozen=True)
class Field:
    """A place in a template: the column whose text comes there, and how it changes."""

    column: str
    change: str = ""


@dataclass(frozen=True)
class Template:
    """Pieces of text with fields between them: pieces[0], fields[0], pieces[1], ..."""

    pieces: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of their fields."""
        return tuple(one.column for one in self.fields if one.column != LABEL)

    def fill(self, texts: Sequence[str]) -> str:
        """The template with a text in the place of each field."""
        return self.pieces[0] + "".join(text + piece for text, piece in zip(texts, self.pieces[1:], strict=True))

    def texts(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The text of each field but the label, from the texts of columns."""
        return tuple(CHANGES[one.change](columns[one.column]) for one in self.fields if one.column != LABEL)

    def numbered(self) -> str:
        """The template with numbers for its columns: "{0}? {label}, {1}"."""
        columns = [one.column for one in self.fields]
        numbers = iter(range(len(columns)))
        return self.fill([f"{{{LABEL if column == LABEL else next(numbers)}}}" for column in columns])


def parse_template(text: str, key: str, changes: Sequence[str] = ("",)) -> Template:
    """The template that `text` is; raises ValueError for one that cannot be read, or has another change than `changes`.

    `key` is its name in the configuration. Text without a field is a template too.
    """
    pieces, fields = [""], []
    try:
        for literal, column, change, conversion in Formatter().parse(text):
            pieces[-1] += literal
            if column is None:
                continue
            if not column or conversion or (change or "") not in changes:
                raise ValueError(f"{{{column}}} has to have the name of a column in it and nothing else")
            fields.append(Field(column, change or ""))
            pieces.append("")
    except ValueError as error:
        raise ValueError(f"{key}={text!r} is no column and no template such as 'text: {{text}}' ({error})") from None
    return Template(tuple(pieces), tuple(fields))
