"""Rows of a table become examples: which columns are read, what a target may be, and what is wrong with a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from peft_cli.data import Example
from peft_cli.data.reading.rows import Row, printable, read_rows, repeated, suffix, text_of
from peft_cli.data.reading.templates import Template

SHOWN = 10  # of the sentences about skipped lines, in a result
Cells = Mapping[str, object]


class ColumnError(ValueError):
    """The columns of a row are not those that the configuration names."""


@dataclass
class Skipped:
    """How many lines are left out, and what is wrong with the first of them."""

    count: int = 0
    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Counts one more line."""
        self.count += 1
        if len(self.sentences) < SHOWN:
            self.sentences.append(sentence)

    def notes(self) -> dict[str, object]:
        """What a result says of them."""
        return {"skipped_lines": self.count, "skipped": self.sentences}


@dataclass(frozen=True)
class ExampleReader:
    """How rows become examples; conf/data/files.yaml says what each field means."""

    source: Template  # with the column alone where data.source is one
    mask_template: Template | None
    target: str
    labels: Sequence[str] | None
    classes: Sequence[str] | None  # what the files have in place of the labels
    scale: Sequence[float] | None
    columns: Sequence[str] | None
    rename: Mapping[str, str]
    encoding: str
    flatten: Callable[[Cells], Iterable[Cells]] | None
    allow_empty: bool
    skip_bad_lines: bool
    skipped: Skipped = field(default_factory=Skipped)

    def refuse(self, sentence: str) -> None:
        """Raises ValueError, or where bad lines are skipped notes the sentence."""
        if not self.skip_bad_lines:
            raise ValueError(f"{sentence}; mend it, or leave out such lines with data.skip_bad_lines=true")
        self.skipped.add(sentence)

    def read_file(self, path: Path, split: str) -> list[Example]:
        """The examples of a file, one for each row; raises ValueError where bad lines are all that it has."""
        n_before = self.skipped.count
        rows = read_rows(path, self.columns, self.encoding, self.refuse)
        is_table = suffix(path) != ".jsonl"
        examples = self.examples(rows, split, lambda line: f"{path}, line {line}", is_table)
        if not examples and self.skipped.count > n_before:
            raise ValueError(f"{path} has no line that can be read: {self.skipped.sentences[-1]}")
        return examples

    def read_hub(self, cells: Iterable[Cells], split: str) -> list[Example]:
        """The examples of rows of the hub, where a class is a number."""
        rows = [Row(i, {**row, self.target: self.class_name(row.get(self.target))}) for i, row in enumerate(cells)]
        return self.examples(rows, split, lambda line: f"the hub's row {line} of {split}", is_table=True)

    def class_name(self, value: object) -> object:
        """What the files have in place of the hub's class number, or of its number in single precision."""
        if isinstance(value, float):
            return round(value, 6)
        if self.classes and isinstance(value, int) and 0 <= value < len(self.classes):
            return self.classes[value]
        return value

    def examples(
        self, rows: Iterable[Row], split: str, place_of: Callable[[int], str], is_table: bool
    ) -> list[Example]:
        """An example for each row, or several; the rows of a table share their columns, so a wrong one is an error."""
        examples: list[Example] = []
        for row in rows:
            for cells in self.several_cells(row, place_of):
                try:
                    examples.append(self.example(cells, f"{split}-{len(examples)}"))
                except ValueError as error:
                    sentence = f"{place_of(row.line)}: {printable(str(error))}"
                    if is_table and isinstance(error, ColumnError):
                        raise ValueError(sentence) from None
                    self.refuse(sentence)
        return examples

    def several_cells(self, row: Row, place_of: Callable[[int], str]) -> list[Cells]:
        """The cells of a row, or those of each example that a nested object has."""
        try:
            return list(self.flatten(row.cells)) if self.flatten else [row.cells]
        except ValueError as error:
            self.refuse(f"{place_of(row.line)}: {printable(str(error))}")
            return []

    def example(self, cells: Cells, id: str) -> Example:
        """The example of a row's cells."""
        renamed = rename_columns(cells, self.rename)
        source = self.source.fill(self.source.texts(self.texts_of(self.source, renamed)))
        texts = self.mask_template.texts(self.texts_of(self.mask_template, renamed)) if self.mask_template else ()
        return Example(id, source, self.targets_of(self.cell(renamed, self.target)), texts=texts)

    def texts_of(self, template: Template, cells: Cells) -> dict[str, str]:
        """The text of each column of a template."""
        texts = {name: text_of(self.cell(cells, name)) for name in template.columns}
        empty = [name for name, text in texts.items() if not text]
        if empty and not self.allow_empty:
            raise ValueError(f"the column {empty[0]} is empty")
        return texts

    def cell(self, cells: Cells, name: str) -> object:
        """The value of a column."""
        if name not in cells:
            raise ColumnError(f"no column {name}; there are {', '.join(cells)}{self.advice(cells)}")
        return cells[name]

    def advice(self, cells: Cells) -> str:
        """The keys of the configuration that would name columns which there are."""
        wanted = {"data.source": self.source.columns[0], "data.target": self.target}
        missing = [key for key, name in wanted.items() if name not in cells]
        if len(self.source.columns) > 1 and "data.source" in missing:
            return ""
        spare = iter(name for name in cells if name not in wanted.values())
        named = [f"{key}={name}" for key, name in zip(missing, spare, strict=False)]
        return f"; say {' '.join(named)}" if named else ""

    def targets_of(self, value: object) -> tuple[str, ...]:
        """The texts of a target, the text of its class, or its number."""
        texts = tuple(map(text_of, value)) if isinstance(value, list | tuple) else (text_of(value),)
        if not texts or not all(texts):
            raise ValueError(f"the column {self.target} is empty")
        if self.labels:
            return (self.label(texts),)
        if self.scale:
            check_number(texts, self.scale)
        return texts

    def label(self, texts: Sequence[str]) -> str:
        """The text of the class that the file has."""
        classes, name = list(self.classes or self.labels or ()), " ".join(texts[0].split())
        if len(texts) > 1:
            raise ValueError(f"{len(texts)} classes where there has to be one")
        if name not in classes:
            raise ValueError(f"{name!r} is none of the classes {', '.join(classes)}")
        return (self.labels or ())[classes.index(name)]


def rename_columns(cells: Cells, rename: Mapping[str, str]) -> Cells:
    """The cells by the names that `rename` gives to columns; raises ColumnError where two get the same name."""
    renamed = {rename.get(name, name): value for name, value in cells.items()}
    if len(renamed) < len(cells):
        double = repeated(rename.get(name, name) for name in cells)
        raise ColumnError(f"data.rename gives the name {double} to a second column; there are {', '.join(cells)}")
    return renamed


def check_number(texts: Sequence[str], scale: Sequence[float]) -> None:
    """Raises ValueError unless `texts` are a single number on the scale."""
    least, most = scale
    try:
        (number,) = map(float, texts)
    except ValueError:
        raise ValueError(f"{', '.join(texts)!r} is no number") from None
    if not least <= number <= most:
        raise ValueError(f"{texts[0]} is not between {least:g} and {most:g}")


def one_for_each_target(examples: Sequence[Example], split: str) -> list[Example]:
    """An example for each target, numbered anew: targets train apart."""
    every = [(example, text) for example in examples for text in example.references]
    return [replace(example, id=f"{split}-{i}", references=(text,)) for i, (example, text) in enumerate(every)]


def one_for_each_source(examples: Sequence[Example]) -> list[Example]:
    """An example for each source, with the targets of all that have it, in the order of the file."""
    targets: dict[str, list[str]] = {}
    first = {example.source: example for example in reversed(examples)}
    for example in examples:
        targets.setdefault(example.source, []).extend(example.references)
    return [replace(first[source], references=tuple(texts)) for source, texts in targets.items()]
