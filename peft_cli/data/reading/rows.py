"""Reads the rows of jsonl, csv, tsv and labelled-line files, plain or packed; every row knows its line.

bytes -> Line (its number, its text, what is wrong with it) -> Row (the number of its first line, its cells by column)
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

SUFFIXES = (".jsonl", ".csv", ".tsv")
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
LONGEST = 10_000_000  # bytes of a line, characters of a cell
LONGEST_REASON = 300  # characters of what is wrong with a line
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a file in UTF-16 begins

Refuse = Callable[[int, str], None]  # takes the number of a line and what is wrong with it


class Row(NamedTuple):
    """One row of a file: the number of its first line, counted from 1, and its cells by column."""

    line: int
    cells: dict[str, object]


class Line(NamedTuple):
    """One line of a file with its end, counted from 1, and why it cannot be read; None where it can."""

    number: int
    text: str
    fault: str | None = None


def read_rows(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    refuse: Callable[[str], None] | None = None,
    limit: int | None = None,
) -> list[Row]:
    """The first `limit` rows of a file, or all, without blank lines. Only "\\n" and "\\r\\n" end a line.

    A .jsonl file has an object on each line. A .csv file may have cells in quotes, with commas, quotes and line breaks
    in them; in a .tsv file quotes are text, and a line is a row. Both begin with the names of their columns, unless
    `columns` gives them. A file with another suffix has a label, a space and a text on each line. For a row that cannot
    be read `refuse` gets a sentence with file and line, and the row is left out; without `refuse` it is a ValueError.
    Raises ValueError for a file that cannot be read as a whole.
    """
    parsers = {".jsonl": json_rows, ".csv": csv_rows, ".tsv": tsv_rows}
    parse = parsers.get(suffix(path), labelled_rows)

    def refuse_line(number: int, reason: str) -> None:
        (refuse or raise_sentence)(f"{path}, line {number}: {printable(reason)}")

    with readable(path), open_bytes(path) as file:
        return list(islice(parse(read_lines(path, file, encoding), path, columns, refuse_line), limit))


def suffix(path: Path) -> str:
    """The end of a file's name, without the .gz or .xz of its packing."""
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked."""
    return cast(BinaryIO, PACKED[path.suffix](path, "rb")) if path.suffix in PACKED else path.open("rb")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what a damaged or closed file raises into a ValueError with its name."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} cannot be read, or only in part ({reason}); get it again") from error


def raise_sentence(sentence: str) -> None:
    """Raises the sentence about a bad line."""
    raise ValueError(sentence)


def printable(reason: str) -> str:
    """What is wrong with a line, for a terminal: at most 300 characters, and escapes for those that cannot be shown."""
    text = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Lines


def read_lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[Line]:
    """The lines of a file, without a byte-order mark; raises ValueError for an encoding that there is not."""
    try:
        is_by_byte = "\n".encode(encoding) == b"\n"
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"data.encoding={encoding} is no text encoding that Python has; it has utf-8, utf-16, latin-1, cp1252, ..."
        ) from error
    return byte_lines(file, encoding) if is_by_byte else text_lines(path, file, encoding)


def byte_lines(file: BinaryIO, encoding: str) -> Iterator[Line]:
    """The lines in an encoding in which a byte 10 is the end of a line and nothing else, each decoded on its own."""
    number = 0
    while raw := file.readline(LONGEST + 1):
        number += 1
        if len(raw) > LONGEST:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(LONGEST)
            yield Line(number, "\n", f"longer than {LONGEST:,} bytes")
            continue
        text, fault = decode_line(raw, encoding, number)
        yield Line(number, text.removeprefix("\ufeff") if number == 1 else text, fault)


def decode_line(raw: bytes, encoding: str, number: int) -> tuple[str, str | None]:
    """A line's text, and why it cannot be read and what to do; None where it can."""
    if (number == 1 and raw.startswith(UTF_16)) or b"\0" in raw:
        fault = "bytes that no text has; a file in UTF-16 needs data.encoding=utf-16"
        return raw.decode(encoding, "replace"), fault
    try:
        return raw.decode(encoding), None
    except UnicodeDecodeError as error:
        fault = f"byte {raw[error.start]:#x} is no {encoding}; another encoding is named as in data.encoding=cp1252"
        return raw.decode(encoding, "replace"), fault


def text_lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[Line]:
    """The lines in any other encoding, such as UTF-16; raises ValueError at the first bytes that are none."""
    number = 0
    try:
        with io.TextIOWrapper(file, encoding, newline="\n") as texts:
            while text := texts.readline(LONGEST + 1):
                number += 1
                fault = f"longer than {LONGEST:,} characters" if len(text) > LONGEST else None
                while fault and text and not text.endswith("\n"):
                    text = texts.readline(LONGEST)
                if "\0" in text:
                    fault = "a character NUL, which no text has"
                yield Line(number, "\n" if fault else text.removeprefix("\ufeff" if number == 1 else ""), fault)
    except UnicodeError as error:
        raise ValueError(f"{path}, line {number + 1}: no {encoding} from here on ({error})") from error


def sound_lines(lines: Iterable[Line], refuse: Refuse) -> Iterator[tuple[int, str]]:
    """The numbers and texts of lines that are not blank, without their ends."""
    for line in lines:
        text = line.text.removesuffix("\n").removesuffix("\r")
        if line.fault:
            refuse(line.number, line.fault)
        elif text.strip(" "):
            yield line.number, text


# Rows


def json_rows(lines: Iterable[Line], path: Path, columns: Sequence[str] | None, refuse: Refuse) -> Iterator[Row]:
    """The objects of a .jsonl file."""
    for number, text in sound_lines(lines, refuse):
        try:
            cells = DECODER.decode(text)
        except json.JSONDecodeError as error:
            refuse(number, f"no JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:
            refuse(number, f"no JSON that can be read ({error})")
        else:
            if isinstance(cells, dict):
                yield Row(number, cells)
            else:
                refuse(number, "the line has to be an object, as in {...}")


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; raises ValueError for one that has a key twice."""
    cells = dict(pairs)
    if len(cells) < len(pairs):
        raise ValueError(f"the key {repeated(key for key, _ in pairs)!r} occurs twice")
    return cells


def refuse_constant(name: str) -> None:
    """Raises ValueError for NaN and the infinities, which JSON has not."""
    raise ValueError(f"{name} is no value")


DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=refuse_constant)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that occurs more than once; None where there is none."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def tsv_rows(lines: Iterable[Line], path: Path, columns: Sequence[str] | None, refuse: Refuse) -> Iterator[Row]:
    """The rows of a .tsv file."""
    records = ((number, text.split("\t")) for number, text in sound_lines(lines, refuse))
    return named_rows(records, path, columns, refuse)


def csv_rows(lines: Iterable[Line], path: Path, columns: Sequence[str] | None, refuse: Refuse) -> Iterator[Row]:
    """The rows of a .csv file."""
    csv.field_size_limit(LONGEST)
    return named_rows(csv_records(list(lines), refuse), path, columns, refuse)


def csv_records(lines: Sequence[Line], refuse: Refuse) -> Iterator[tuple[int, list[str]]]:
    """The records of a csv file that are not blank, with the number of their first line.

    After a record that cannot be read, such as one whose quote is never closed, reading goes on at its second line.
    """
    start = 0
    while start < len(lines):
        reader = csv.reader((lines[i].text for i in range(start, len(lines))), strict=True)
        first = start
        try:
            for cells in reader:
                after = start + reader.line_num
                fault = next((line for line in lines[first:after] if line.fault), None)
                if fault:
                    refuse(fault.number, str(fault.fault))
                elif cells:
                    yield lines[first].number, cells
                first = after
            return
        except csv.Error as error:
            refuse(lines[first].number, f"no csv ({error}); a quote may be open, or not doubled")
            start = first + 1


def named_rows(
    records: Iterator[tuple[int, list[str]]], path: Path, columns: Sequence[str] | None, refuse: Refuse
) -> Iterator[Row]:
    """Records as rows, by the columns that are given or that the first record names."""
    names = [name.strip() for name in columns or next(records, (1, []))[1]]
    if double := repeated(filter(None, names)):
        raise ValueError(f"{path} has two columns {double}; rename one, or name all of them with data.columns")
    for number, cells in records:
        if len(cells) == len(names):
            yield Row(number, dict(zip(names, cells, strict=True)))
        else:
            refuse(number, f"{len(cells)} columns where there have to be {len(names)}")


def labelled_rows(lines: Iterable[Line], path: Path, columns: Sequence[str] | None, refuse: Refuse) -> Iterator[Row]:
    """The rows of a file with a label, a space and a text on each line."""
    names = columns or ("label", "sentence")
    if len(names) != 2:
        raise ValueError(f"data.columns has {len(names)} names for {path}, whose lines have two: a label and a text")
    for number, text in sound_lines(lines, refuse):
        label, _, rest = text.partition(" ")
        yield Row(number, {names[0]: label, names[1]: rest})


# Cells


def text_of(value: object) -> str:
    """A cell's value as text: true for a JSON true, 1 for a 1, nothing for a null.

    Raises ValueError for what is no text: an object, a list, a number that is not finite, half a character, a NUL.
    """
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no value")
    if not isinstance(value, str | int | float):
        kind = "a list" if isinstance(value, list | tuple) else "an object"
        raise ValueError(f"{kind} where a text has to be")
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise ValueError("a NUL or half of a surrogate pair, which is no character")
    return text
