"""Files with an example in each row: a user's own, and the published sets that look like that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import PositiveInt

from peft_cli.config.targets import resolve
from peft_cli.data import Data, Example, Hypothesis, MaskTemplate
from peft_cli.data.reading.examples import ExampleReader, one_for_each_source, one_for_each_target
from peft_cli.data.reading.lmbff import read_lmbff
from peft_cli.data.reading.origin import SPLITS, Origin
from peft_cli.data.reading.rows import SUFFIXES, repeated, suffix
from peft_cli.data.reading.splits import SplitName, split_examples, split_sources
from peft_cli.data.reading.templates import CHANGES, LABEL, Field, Template, parse_template

SHORT_ANSWER, SHORT_SHARE = 5, 0.9  # words of a short answer, and the share of the targets that have to be short


def read_files(
    root: str, train: str | None, validation: str | None, test: str | None, source: str, target: str,
    labels: list[str] | None, classes: list[str] | None, scale: list[float] | None, hypothesis: str | None,
    words: list[str] | None, mask_template: str | None, mask_words: list[str] | None, mask_tokens: PositiveInt | None,
    mask_first_tokens: PositiveInt | None, split: SplitName | list[float], metrics: list[str] | None, protocol: str,
    columns: list[str] | None, rename: dict[str, str] | None, encoding: str, flatten: str | None, allow_empty: bool,
    skip_bad_lines: bool, rows: dict[str, int] | None, hub: dict[str, str] | None, where: str | None,
) -> Data:  # fmt: skip
    """The examples of tabular files, or of the same data set on the hub, in the splits that `split` asks for.

    Raises ValueError for a file that is absent, has other counts than were published, or has a line that is no example.
    """
    labels, classes = check_targets(labels, classes, scale)
    mask = parse_template(mask_template, "data.mask_template", tuple(CHANGES)) if mask_template else None
    reader = ExampleReader(
        column_template(source), mask, target, labels, classes, scale, columns, rename or {}, encoding,
        resolve(flatten, "data") if flatten else None, allow_empty, skip_bad_lines,
    )  # fmt: skip
    files = {name: file for name, file in zip(SPLITS, (train, validation, test), strict=True) if file}
    data = read_splits(reader, Origin(root, where, hub, None if split == "lmbff" else rows), files, split)
    return replace(
        data,
        metrics=tuple(metrics or default_metrics(data.test, labels, scale)),
        labels=tuple(labels or ()),
        scale=(scale[0], scale[1]) if scale else None,
        hypothesis=check_hypothesis(hypothesis, words, labels),
        mask_template=check_mask(mask, mask_words or words or labels, labels or scale, mask_tokens, mask_first_tokens),
        protocol=protocol,
        notes={**data.notes, **reader.skipped.notes()},
    )


def read_splits(
    reader: ExampleReader, origin: Origin, files: Mapping[str, str], split: SplitName | list[float]
) -> Data:
    """The examples of each split, and of published draws, with notes about where they come from."""
    if split == "lmbff":
        draws, tested = read_lmbff(Path(origin.root), files.get("test"), replace(reader, encoding="utf-8"))
        return Data([], [], tested, (), draws=draws, notes=origin.notes(is_hub=False))
    check_suffixes(files, has_labels=bool(reader.labels))
    paths = origin.locate(list(files.values()))
    parts: dict[str, Sequence[Example]]
    if paths:
        parts = {name: reader.read_file(path, name) for name, path in zip(files, paths, strict=True)}
    else:
        parts = {name: reader.read_hub(part, name) for name, part in origin.read_hub(dict[str, object], files).items()}
    origin.check_counts(parts, is_hub=not paths)
    if not isinstance(split, str):
        if list(files) != ["train"]:
            raise ValueError("data.split with shares splits data.train; data.validation and data.test have to be null")
        parts = dict(zip(SPLITS, split_sources(split, parts["train"]), strict=True))
        split = "official"
    if not (reader.labels or reader.scale):
        parts = {name: merge_targets(part, name) for name, part in parts.items()}
    splits = split_examples(split, *(parts.get(name, []) for name in SPLITS))
    return Data(*splits, (), notes=origin.notes(is_hub=not paths))


def merge_targets(examples: Sequence[Example], split: str) -> list[Example]:
    """Free text: each target trains on its own; to validate and test, an input has all its targets as references."""
    return one_for_each_target(examples, split) if split == "train" else one_for_each_source(examples)


def default_metrics(test: Sequence[Example], labels: Sequence[str] | None, scale: Sequence[float] | None) -> list[str]:
    """The metrics of a kind of task: classes, numbers, short answers or longer texts."""
    if labels:
        return ["accuracy", "f1"]
    if scale:
        return ["pearson", "spearman"]
    targets = [text for example in test for text in example.references]
    n_short = sum(len(text.split()) <= SHORT_ANSWER for text in targets)
    return ["exact_match", "token_f1"] if n_short >= SHORT_SHARE * len(targets) else ["bleu", "rouge"]


def column_template(source: str) -> Template:
    """The template that `source` is, or the one with the column `source` alone."""
    template = parse_template(source, "data.source")
    return template if template.fields else Template(("", ""), (Field(source),))


def check_classes(names: Sequence[str] | None, key: str) -> list[str] | None:
    """Names of classes with single spaces in them; raises ValueError for a name that is empty or there twice."""
    if names is None:
        return None
    classes = [" ".join(name.split()) for name in names]
    if len(classes) < 2 or not all(classes) or repeated(classes):
        raise ValueError(f"data.{key}=[{','.join(names)}] has to have two or more names, each once")
    return classes


def check_targets(
    labels: Sequence[str] | None, classes: Sequence[str] | None, scale: Sequence[float] | None
) -> tuple[list[str] | None, list[str] | None]:
    """The labels and classes with single spaces; raises ValueError for classes without a text, and for no scale."""
    labels, classes = check_classes(labels, "labels"), check_classes(classes, "classes")
    if classes and len(classes) != len(labels or ()):
        raise ValueError(f"data.labels has {len(labels or ())} texts for the {len(classes)} data.classes")
    if scale is not None and (len(scale) != 2 or scale[0] >= scale[1] or labels):
        raise ValueError(
            f"data.scale=[{','.join(f'{end:g}' for end in scale)}] has to have the least and the most of a target that "
            "is a number, as in [0,5], and data.labels is null then"
        )
    return labels, classes


def check_hypothesis(text: str | None, words: Sequence[str] | None, labels: Sequence[str] | None) -> Hypothesis | None:
    """The sentence about a class; raises ValueError unless it has a place for a label, and each class has its words."""
    if text is None:
        return None
    if text.count("{label}") != 1:
        raise ValueError(f"data.hypothesis={text!r} has to have one {{label}} in it, as in 'It was {{label}}.'")
    return Hypothesis(text, check_words(words or labels, labels, "data.words"))


def check_mask(
    template: Template | None,
    words: Sequence[str] | None,
    classes: Sequence[object] | None,
    max_tokens: int | None,
    max_first_tokens: int | None,
) -> MaskTemplate | None:
    """The input with a mask; raises ValueError unless it has one mask and a column, and each class has its word."""
    if template is None:
        return None
    names = [one.column for one in template.fields]
    if names.count(LABEL) != 1 or len(names) < 2:
        raise ValueError(
            "data.mask_template has to have columns and one {label}, where the mask is, as in '{text} It was {label}.'"
        )
    named = check_words(words, classes, "data.mask_words")
    return MaskTemplate(template.numbered(), named, max_tokens, max_first_tokens)


def check_words(words: Sequence[str] | None, classes: Sequence[object] | None, key: str) -> tuple[str, ...]:
    """The words of each class; raises ValueError for another number, and for words that stand for two classes."""
    words, n = words or (), len(classes or ())
    if len(words) != n:
        raise ValueError(f"{key} has {len(words)} words for {n} classes")
    if double := repeated(words):
        raise ValueError(f"{key}=[{','.join(words)}] has {double} for two classes")
    return tuple(words)


def check_suffixes(files: Mapping[str, str], has_labels: bool) -> None:
    """Raises ValueError for a file of a kind that cannot be read; a line with a label and a text needs classes."""
    for split, name in files.items():
        if suffix(Path(name)) not in SUFFIXES and not has_labels:
            raise ValueError(f"data.{split}={name} has to be a {', '.join(SUFFIXES)} file, or one of these with .gz")
