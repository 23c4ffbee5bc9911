"""Files with an example in each row: a user's own, and the published sets that look like that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter

from peft_cli.config.targets import resolve
from peft_cli.data import Data, Example, Hypothesis
from peft_cli.data.reading.origin import SPLITS, check_counts, find, from_hub, locate, notes, told
from peft_cli.data.reading.rows import SUFFIXES, Row, read, suffix
from peft_cli.data.reading.splits import Split, split_up

SHOWN = 10  # of the sentences about skipped lines, in a result


@dataclass(frozen=True)
class Reading:
    """How rows become examples; conf/data/files.yaml tells what each field means."""

    source: str
    target: str
    labels: Sequence[str] | None
    classes: Sequence[str] | None
    scale: Sequence[float] | None
    columns: Sequence[str] | None
    rename: Mapping[str, str]
    encoding: str
    flatten: Callable[[dict], Iterable[dict]] | None
    allow_empty: bool
    skip_bad_lines: bool
    skipped: list[str] = field(default_factory=list)  # what was wrong with each line that was left out

    def refuse(self, sentence: str) -> None:
        """Raises ValueError, or where bad lines are skipped notes the sentence."""
        if not self.skip_bad_lines:
            raise ValueError(f"{sentence}; mend it, or leave out such lines with data.skip_bad_lines=true")
        self.skipped.append(sentence)

    def told(self) -> dict[str, object]:
        """How many lines were left out, and what was wrong with the first of them."""
        return {"skipped_lines": len(self.skipped), "skipped": self.skipped[:SHOWN]}

    def of_file(self, path: Path, split: str) -> list[Example]:
        """The examples of a file."""
        rows = read(path, self.columns, self.encoding, self.refuse)
        return self.examples(rows, split, lambda line: f"{path}, line {line}")

    def of_hub(self, rows: Sequence[dict], split: str) -> list[Example]:
        """The examples of rows of the hub, where a class is a number."""
        numbered = [Row(i, row) for i, row in enumerate(rows)]
        return self.examples(numbered, split, lambda line: f"the hub's row {line} of {split}", self.class_name)

    def class_name(self, value: object) -> object:
        """What the files have in place of the hub's class number, or of its number in single precision."""
        if isinstance(value, float):
            return round(value, 6)
        return self.classes[value] if self.classes and isinstance(value, int) else value

    def examples(
        self,
        rows: Sequence[Row],
        split: str,
        place: Callable[[int], str],
        label_of: Callable[[object], object] = lambda value: value,
    ) -> list[Example]:
        """An example for each row; one with several targets where free text is not for training."""
        found: list[Example] = []
        for row in rows:
            renamed = {self.rename.get(name, name): value for name, value in row.cells.items()}
            for cells in self.flatten(renamed) if self.flatten else [renamed]:
                try:
                    source, targets = self.source_of(cells), self.targets_of(label_of(self.cell(cells, self.target)))
                except ValueError as error:
                    self.refuse(f"{place(row.line)}: {error}")
                    continue
                found += [Example(f"{split}-{len(found)}", source, targets)]
        if self.labels or self.scale:
            return found
        return pairs(found, split) if split == "train" else grouped(found)

    def source_of(self, cells: Mapping[str, object]) -> str:
        """The text that a model reads: a column, or a template that is filled in."""
        names = [name for _, name, _, _ in Formatter().parse(self.source) if name]
        texts = {name: text_of(self.cell(cells, name)) for name in names or [self.source]}
        empty = [name for name, text in texts.items() if not text]
        if empty and not self.allow_empty:
            raise ValueError(f"the column {empty[0]} is empty")
        return self.source.format(**texts) if names else texts[self.source]

    def targets_of(self, value: object) -> tuple[str, ...]:
        """The texts of a target, the text of its class, or its number."""
        texts = tuple(text_of(item) for item in (value if isinstance(value, list | tuple) else [value]))
        if not texts or not all(texts):
            raise ValueError(f"the column {self.target} is empty")
        if self.labels:
            return (self.label(texts[0]),)
        if self.scale:
            number(texts[0], self.scale)
        return texts

    def label(self, value: str) -> str:
        """The text of the class that the file calls `value`."""
        classes = list(self.classes or self.labels)
        if value not in classes:
            raise ValueError(f"{value!r} is none of the classes {', '.join(classes)}")
        return self.labels[classes.index(value)]

    def cell(self, cells: Mapping[str, object], name: str) -> object:
        """The value of a column."""
        if name not in cells:
            raise ValueError(f"no column {name}; there are {', '.join(cells)}")
        return cells[name]


def load(
    root: str,
    train: str | None,
    validation: str | None,
    test: str | None,
    source: str,
    target: str,
    labels: list[str] | None,
    classes: list[str] | None,
    scale: list[float] | None,
    hypothesis: str | None,
    words: list[str] | None,
    split: Split,
    metrics: list[str],
    protocol: str,
    columns: list[str] | None,
    rename: dict[str, str] | None,
    encoding: str,
    flatten: str | None,
    allow_empty: bool,
    skip_bad_lines: bool,
    rows: dict[str, int] | None,
    hub: dict[str, str] | None,
    where: str | None,
) -> Data:
    """The examples of tabular files, or of the same data set on the hub, in the splits that `split` asks for.

    Raises ValueError for a file that is absent, has other counts than were published, or has a line that is no example.
    """
    check_texts(source, labels, classes)
    reshape = resolve(flatten, "data") if flatten else None
    reading = Reading(
        source, target, labels, classes, scale, columns, rename or {}, encoding, reshape, allow_empty, skip_bad_lines
    )
    if split == "lmbff":
        origin, rows, parts = "files", None, k_shot(Path(root), test, replace(reading, encoding="utf-8"))
    else:
        files = {name: file for name, file in zip(SPLITS, (train, validation, test), strict=True) if file}
        origin, found = read_all(root, files, reading, rows, hub, where)
        parts = dict(zip(SPLITS, split_up(split, *(found.get(name, []) for name in SPLITS)), strict=True))
    return Data(
        **parts,
        metrics=tuple(metrics),
        labels=tuple(labels or ()),
        scale=tuple(scale) if scale else None,
        hypothesis=said(hypothesis, words, labels),
        protocol=protocol,
        notes=notes(origin, rows) | reading.told(),
    )


def read_all(
    root: str,
    files: Mapping[str, str],
    reading: Reading,
    rows: Mapping[str, int] | None,
    hub: Mapping[str, str] | None,
    where: str | None,
) -> tuple[str, dict[str, list[Example]]]:
    """Where the examples came from, and those of each split, held against the published counts."""
    check_suffixes(files, has_labels=bool(reading.labels))
    paths = locate(root, list(files.values()), where, hub)
    if paths:
        found = {name: reading.of_file(path, name) for name, path in zip(files, paths, strict=True)}
    else:
        found = {name: reading.of_hub(part, name) for name, part in from_hub(hub, files).items()}
    counts = {name: len(part) for name, part in found.items()}
    check_counts(counts, rows, f"data.root={root}" if paths else told(hub), where)
    return "files" if paths else told(hub), found


def k_shot(root: Path, test: str | None, reading: Reading) -> dict:
    """The draws that Gao et al. (2021) published: folders such as 16-13, 16 examples of each class by the seed 13."""
    draws = {}
    for folder in sorted(path for path in root.glob("*-*") if re.fullmatch(r"\d+-\d+", path.name)):
        shots, seed = map(int, folder.name.split("-"))
        both = [one(folder, f"{name}*") for name in ("train", "dev")]
        draws[shots, seed] = [
            [Example(f"{folder.name}/{e.id}", e.source, e.references) for e in reading.of_file(path, name)]
            for path, name in zip(both, ("train", "validation"), strict=True)
        ]
    if not draws:
        raise ValueError(
            f"data.split=lmbff: data.root={root} has no folder such as 16-13; make LM-BFF's k-shot files as "
            "https://github.com/princeton-nlp/LM-BFF tells, and say data.root=<the folder of the task>"
        )
    first = both[0].parent  # each folder has the same test file, or the folder above has it once
    path = next((path for place in (root, first) for path in sorted(place.glob("test*.*"))), find(root, test or ""))
    if path is None:
        raise ValueError(
            f"data.split=lmbff: data.root={root} has no test file; put it there, or say data.test=<its path>"
        )
    return {"train": [], "validation": [], "test": reading.of_file(path, "test"), "draws": draws}


def one(folder: Path, pattern: str) -> Path:
    """The file of `folder` that matches `pattern`."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise ValueError(f"data.split=lmbff: {folder} has no {pattern}")
    return found[0]


def check_texts(source: str, labels: Sequence[str] | None, classes: Sequence[str] | None) -> None:
    """Raises ValueError for a template that cannot be filled in, and for classes without a text each."""
    try:
        list(Formatter().parse(source))
    except ValueError as error:
        raise ValueError(
            f"data.source={source!r} is no column and no template such as 'text: {{text}}' ({error})"
        ) from None
    if classes and len(classes) != len(labels or ()):
        raise ValueError(f"data.labels has {len(labels or ())} texts for the {len(classes)} data.classes")


def said(hypothesis: str | None, words: Sequence[str] | None, labels: Sequence[str] | None) -> Hypothesis | None:
    """What is said of a class; raises ValueError unless it has a place for a label, and each class has its words."""
    if hypothesis is None:
        return None
    if hypothesis.count("{label}") != 1:
        raise ValueError(f"data.hypothesis={hypothesis!r} has to have one {{label}} in it, as in 'It was {{label}}.'")
    words = words or labels or []
    if len(words) != len(labels or ()):
        raise ValueError(f"data.words has {len(words)} words for the {len(labels or ())} data.labels")
    return Hypothesis(hypothesis, tuple(words))


def check_suffixes(files: Mapping[str, str], has_labels: bool) -> None:
    """Raises ValueError for a file of a kind that cannot be read; a line with a label and a text needs classes."""
    for split, name in files.items():
        if suffix(Path(name)) not in SUFFIXES and not has_labels:
            raise ValueError(f"data.{split}={name} has to be a {', '.join(SUFFIXES)} file, or one of these with .gz")


def pairs(examples: Sequence[Example], split: str) -> list[Example]:
    """An example for each target, numbered anew."""
    every = [(example.source, text) for example in examples for text in example.references]
    return [Example(f"{split}-{i}", source, (text,)) for i, (source, text) in enumerate(every)]


def grouped(examples: Sequence[Example]) -> list[Example]:
    """One example for each source, with the targets of all that have it, in the order of the file."""
    targets: dict[str, list[str]] = {}
    first = {example.source: example.id for example in reversed(examples)}
    for example in examples:
        targets.setdefault(example.source, []).extend(example.references)
    return [Example(first[source], source, tuple(texts)) for source, texts in targets.items()]


def text_of(value: object) -> str:
    """A cell's value as text on its own: true for a JSON true, 1 for a 1, nothing for a null."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def number(text: str, scale: Sequence[float]) -> float:
    """The number that `text` says; raises ValueError unless it lies on the scale."""
    least, most = scale
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not least <= value <= most:
        raise ValueError(f"{text} is not between {least:g} and {most:g}")
    return value
