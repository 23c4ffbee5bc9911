"""Why a run failed, in one sentence, and whether its request was wrong or something broke."""

from __future__ import annotations

import errno
import shlex
import traceback
from pathlib import Path
from typing import NamedTuple

from peft_cli.config.plugins import code_paths
from peft_cli.run_folder.files import one_line

WRONG_PATHS = (FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError)
WRONG_PLACES = (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)


class Failure(NamedTuple):
    """Why a run failed, in one line, whether its request was wrong or something broke, and the file of its output."""

    reason: str
    is_wrong_request: bool
    log: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Returns the failure that an exception is."""
    if is_wrong_request(error):
        return Failure(sentence(error), True)
    return Failure(": ".join(filter(None, [type(error).__name__, sentence(error)])), False)


def is_wrong_request(error: BaseException) -> bool:
    """Whether an error is a wrong request and no bug: a wrong path, or a ValueError of this package or a plug-in."""
    if isinstance(error, WRONG_PATHS) or (isinstance(error, OSError) and error.errno in WRONG_PLACES):
        return True
    innermost = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return isinstance(error, ValueError) and any(innermost.is_relative_to(path) for path in code_paths())


def sentence(error: BaseException) -> str:
    """Returns what went wrong in one line."""
    if isinstance(error, OSError) and error.filename:
        return one_line(f"{error.filename}: {error.strerror}")
    return one_line(error)


def repeat_command(overrides: list[str]) -> str:
    """Returns the shell command that repeats one run of a sweep."""
    return shlex.join(["peft-run", *overrides])
