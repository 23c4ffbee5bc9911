"""Reads the rows of jsonl, csv, tsv and labelled-line files, plain or in gzip; every row knows its line."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

SUFFIXES = (".jsonl", ".csv", ".tsv")


class Row(NamedTuple):
    """One row of a file: where it begins, counted from 1, and its cells by column."""

    line: int
    cells: dict[str, object]


def read(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    refuse: Callable[[str], None] | None = None,
) -> list[Row]:
    """The rows of a file, in its order; blank lines are none.

    A .jsonl file has an object on each line. A .csv file may have cells in quotes, with commas, quotes and line breaks
    in them; in a .tsv file quotes are text, and a line is a row. Both begin with the names of their columns, unless
    `columns` names them. A file with another suffix has a label, a space and a text on each line. A row that cannot be
    read raises ValueError with file and line; or `refuse` is told that sentence, and the row is left out.
    """
    kinds = {".jsonl": json_rows, ".csv": csv_rows, ".tsv": tsv_rows}
    rows = kinds.get(suffix(path), labelled_rows)
    with open_bytes(path) as file:
        return list(rows(path, file, columns, encoding, refuse or give_up))


def suffix(path: Path) -> str:
    """What a file's name ends with, without the .gz of its packing."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def give_up(sentence: str) -> None:
    """Raises the sentence about a bad line."""
    raise ValueError(sentence)


def lines(path: Path, file: BinaryIO, encoding: str, refuse: Callable[[str], None]) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends and a byte-order mark, with their numbers."""
    for number, raw in enumerate(file, 1):
        try:
            text = raw.decode(encoding).removeprefix("\ufeff").rstrip("\r\n")
        except UnicodeDecodeError as error:
            refuse(f"{path}, line {number}: byte {error.object[error.start]:#x} is no {encoding}")
            continue
        if text.strip(" "):
            yield number, text


def json_rows(
    path: Path, file: BinaryIO, columns: Sequence[str] | None, encoding: str, refuse: Callable[[str], None]
) -> Iterator[Row]:
    """The objects of a .jsonl file."""
    for number, text in lines(path, file, encoding, refuse):
        try:
            cells = json.loads(text)
        except json.JSONDecodeError as error:
            refuse(f"{path}, line {number}: no JSON ({error.msg} at column {error.colno})")
            continue
        if isinstance(cells, dict):
            yield Row(number, cells)
        else:
            refuse(f"{path}, line {number}: the line has to be an object, as in {{...}}")


def tsv_rows(
    path: Path, file: BinaryIO, columns: Sequence[str] | None, encoding: str, refuse: Callable[[str], None]
) -> Iterator[Row]:
    """The rows of a .tsv file."""
    records = ((number, text.split("\t")) for number, text in lines(path, file, encoding, refuse))
    return named(path, records, columns, refuse)


def csv_rows(
    path: Path, file: BinaryIO, columns: Sequence[str] | None, encoding: str, refuse: Callable[[str], None]
) -> Iterator[Row]:
    """The rows of a .csv file."""
    csv.field_size_limit(sys.maxsize)

    def texts() -> Iterator[str]:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode(encoding).removeprefix("\ufeff" if number == 1 else "")
            except UnicodeDecodeError as error:
                refuse(f"{path}, line {number}: byte {error.object[error.start]:#x} is no {encoding}")
                yield "\n"

    return named(path, records(csv.reader(texts(), strict=True), path, refuse), columns, refuse)


def records(reader: Iterator, path: Path, refuse: Callable[[str], None]) -> Iterator[tuple[int, list[str]]]:
    """The records of a csv reader that are not blank, with the number of their first line."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            refuse(f"{path}, line {number}: no csv ({error})")
            continue
        if cells:
            yield number, cells


def named(
    path: Path,
    records: Iterator[tuple[int, list[str]]],
    columns: Sequence[str] | None,
    refuse: Callable[[str], None],
) -> Iterator[Row]:
    """Records as rows, by the columns that are given or that the first record names."""
    names = list(columns) if columns else next(records, (1, []))[1]
    for number, cells in records:
        if len(cells) == len(names):
            yield Row(number, dict(zip(names, cells, strict=True)))
        else:
            refuse(f"{path}, line {number}: {len(cells)} columns where there have to be {len(names)}")


def labelled_rows(
    path: Path, file: BinaryIO, columns: Sequence[str] | None, encoding: str, refuse: Callable[[str], None]
) -> Iterator[Row]:
    """The rows of a file with a label, a space and a text on each line."""
    names = columns or ("label", "sentence")
    for number, text in lines(path, file, encoding, refuse):
        label, _, rest = text.partition(" ")
        yield Row(number, dict(zip(names, (label, rest), strict=True)))
