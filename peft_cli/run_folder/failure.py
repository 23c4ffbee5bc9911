"""Why a run failed, in one sentence, and whether its request was wrong or something broke."""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]


class Failure(NamedTuple):
    """Why a run failed, in one line, whether its request was wrong or something broke, and the file of its output."""

    reason: str
    is_wrong_request: bool
    log: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an exception is."""
    if is_wrong_request(error):
        return Failure(sentence(error), True)
    return Failure(": ".join(filter(None, [type(error).__name__, sentence(error)])), False)


def is_wrong_request(error: BaseException) -> bool:
    """Tell a request that cannot be met from a bug: a file that is absent, or a ValueError raised in this package."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return True
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError) and Path(innermost).is_relative_to(PACKAGE)


def sentence(error: BaseException) -> str:
    """Return what went wrong in one line, without OmegaConf's types and YAML's context."""
    from omegaconf.errors import OmegaConfBaseException  # here, so that help stays quick
    from yaml import MarkedYAMLError

    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}, is not YAML: {error.problem}"
    if isinstance(error, OmegaConfBaseException):
        key = f"{error.full_key}: " if error.full_key else ""
        return key + str(error).splitlines()[0]
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    causes = [error.__cause__] if isinstance(error.__cause__, OmegaConfBaseException) else []
    return "; ".join(filter(None, [" ".join(str(error).split()), *map(sentence, causes)]))


def repeat_command(overrides: list[str]) -> str:
    """Return the shell command that repeats one run of a sweep."""
    return shlex.join(["peft-run", *overrides])
