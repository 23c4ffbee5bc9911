"""Overrides as users type them: key=value in Hydra's grammar, several values in a sweep, and paths without quotes."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

QUOTED = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
PIECE = r"""(?:\$\{[^}]*\}|,(?=seed=)|[^\s,\[\]{}()'"])+"""  # of text without quotes; run folders have a comma
UNQUOTED = r"[\w/\-\\+.$%*@?|:{}]*"  # what Hydra's grammar takes without quotes, in ASCII


class Setting(NamedTuple):
    """A key, the text of each value that it gets, and the value itself where it is one."""

    key: str
    texts: list[str]
    value: object


def read_override(line: str) -> Setting:
    """Returns what an override sets; several values are a sweep. Keys of `hydra.launcher` are those of `launcher`.

    Raises ValueError for one that cannot be read, and for one that removes or moves something.
    """
    key, _, value = line.partition("=")
    if key.startswith("~") or "@" in key:
        raise ValueError(f"{line} is not possible: a key or group can be set, but not removed or moved")
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    text = quote_paths(value)
    try:
        (parsed,) = parser.parse_overrides([f"{key}={text}"])
        texts = list(parsed.sweep_string_iterator()) if parsed.is_sweep_override() else [text]
    except HydraException:
        texts = []
    if not (key and value.strip() and texts):
        hint = "a value with a space, comma or bracket goes in quotes"
        raise ValueError(f"'{line}' cannot be read as key=value, as in shots=50; {hint}")
    return Setting(re.sub(r"^hydra[/.](?=launcher\b)", "", key.lstrip("+")), texts, parsed.value())


def read_single(line: str) -> Setting:
    """Returns what an override sets; raises ValueError where it has several values."""
    setting = read_override(line)
    if len(setting.texts) > 1:
        raise ValueError(f"{line} asks for several runs; add -m to run each, or quote a value that has a comma")
    return setting


def quote_paths(value: str) -> str:
    """Returns a value with quotes around what the grammar has no place for, such as `=` in the path of a run folder."""
    is_path = "/" in value and os.path.exists(os.path.expanduser(value))  # noqa: PTH110, PTH111 - they never raise
    if is_path and not re.fullmatch(UNQUOTED, value, re.ASCII):
        return "'" + value.replace("'", r"\'") + "'"
    if re.fullmatch(r"\w+\(.*\)", value):  # a function of the grammar: range, glob, choice
        return value
    return re.sub(f"({QUOTED})|{PIECE}", quote_piece, value)


def quote_piece(match: re.Match[str]) -> str:
    """Returns a piece of a value, with quotes unless it has them or needs none."""
    is_readable = match[1] or "\\" in match[0] or re.fullmatch(UNQUOTED, match[0], re.ASCII)
    return match[0] if is_readable else f"'{match[0]}'"
