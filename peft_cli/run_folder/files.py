"""Reads and writes the files of run folders, which may come from anywhere.

Only regular files are read, and only up to a size; nothing is written through a link.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

LARGEST_JSON = 64 * 2**20  # bytes of a JSON file
LONGEST_LINE = 4 * 2**20  # bytes of a line
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: object) -> str:
    """Returns a text with U+FFFD for each character that would control a terminal, line ends too."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def one_line(text: object) -> str:
    """Returns a printable text with a single space in place of each line end and run of spaces."""
    return printable(" ".join(str(text).split()))


@cache
def warn_once(text: str) -> None:
    """Prints a warning on stderr, unless this process has printed it already."""
    print(f"peft-run: {one_line(text)}", file=sys.stderr)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises ValueError where a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{path} cannot be a folder, as a part of its path is a file; change runs=") from None


def open_regular(path: Path) -> BinaryIO:
    """Opens a file to read its bytes. Raises ValueError for a folder, a device or a pipe, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would block
    file = os.fdopen(descriptor, "rb") if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    if file is None:
        os.close(descriptor)
        raise ValueError("it is no regular file")
    return file


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; raises FileNotFoundError without one, ValueError where it is broken."""
    try:
        with open_regular(path) as file:
            text = file.read(LARGEST_JSON + 1)
        if len(text) > LARGEST_JSON:
            raise ValueError(f"it has more than {LARGEST_JSON >> 20} MiB")
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except RecursionError:
        raise ValueError(f"{path} cannot be read: its values are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return content


def read_lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, their ends included. Raises ValueError for one that no run writes."""
    with open_regular(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise ValueError(f"a line has more than {LONGEST_LINE >> 20} MiB")
            yield line


@contextmanager
def replace_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Yields a file that takes the place of `path`, or of a link there, when all of it is on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed; or a link
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o666), mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def open_to_append(path: Path) -> IO[str]:
    """Opens a text file to add to its end; a link in its place is removed first."""
    if path.is_symlink():
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    return os.fdopen(descriptor, "a", encoding="utf-8")
