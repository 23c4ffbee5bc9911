"""Values of a configuration: whether they fit the signature that they are for, and the one form that each has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from peft_cli.config.options import list_options

if TYPE_CHECKING:
    from pydantic import ValidationError

PHRASES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "text of at least {min_length} characters",
}  # pydantic's error type -> what follows "it has to be"
PATHS = {"": ["runs", "init_from"], "backbone": ["name"], "data": ["root", "train", "validation", "test"]}
LARGEST_EXACT = 2**53  # whole numbers up to here are floats without rounding


def check(arguments: Mapping[str, object], function: Callable[..., object], name: str) -> None:
    """Raises ValueError unless every argument is a parameter of a function and fits its annotation.

    `name` is the group of keys as users type it ("method"), "" for the top level. Keys that start with "_"
    and parameters without an annotation are passed over.
    """
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    annotations = {
        p.name: Any if p.annotation is p.empty else p.annotation for p in parameters if p.kind != p.VAR_KEYWORD
    }
    fields = {key: annotation for key, annotation in annotations.items() if is_plain(annotation)}
    for key, value in arguments.items():
        if key in fields:
            check_value(value, fields[key], f"{name}.{key}" if name else key)
        elif not key.startswith("_") and (key in annotations or all(p.kind != p.VAR_KEYWORD for p in parameters)):
            raise ValueError(f"{name or 'the configuration'} has no key {key}; {list_options('it has', key, fields)}")


def check_value(value: object, annotation: Any, key: str) -> None:
    """Raises ValueError unless a value fits an annotation; `key` is the value's name as users type it."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        # from None: pydantic's own page says the same in more words.
        raise ValueError(f"{key}={format_value(value)} is not possible: {requirement(error, annotation)}") from None


def is_plain(annotation: Any) -> bool:
    """Whether a configuration can fill an annotation: numbers, text, choices, lists of these."""
    if parts := get_args(annotation):
        return all(map(is_plain, parts))
    return not isinstance(annotation, type) or annotation in (int, float, bool, str, NoneType) or annotation is Any


def requirement(error: ValidationError, annotation: Any) -> str:
    """Returns what a value has to be, from pydantic's errors about it."""
    details = error.errors(include_url=False)
    phrases = [PHRASES.get(detail["type"], detail["msg"]).format(**detail.get("ctx", {})) for detail in details]
    concerns_item = any(isinstance(place, int) for place in details[0]["loc"])
    if NoneType in get_args(annotation) and not concerns_item:
        phrases.append("null")
    choices = " or ".join(dict.fromkeys(phrases)).replace("'", "")
    return f"{'each item' if concerns_item else 'it'} has to be {choices}"


def format_value(value: object) -> str:
    """Returns a value as users type it; text that reads as a number has quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {format_value(item)}' for key, item in value.items())}}}"
    reads_as_number = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.IGNORECASE)
    return repr(value) if reads_as_number else str(value)


def normalise(value: Any, default: Any) -> Any:
    """Returns a value with each number in the one form that its default declares.

    1 is 1.0 where the default is a float, and 1.0 is 1 elsewhere: the same run is the same configuration.
    """
    if isinstance(value, dict):
        defaults = default if isinstance(default, dict) else {}
        return {key: normalise(item, defaults.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [normalise(item, None) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_EXACT:  # also nan
        return value
    if isinstance(default, float):
        return value + 0.0
    return int(value) if value == int(value) else value


def expand_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration in which each path has one form, with ~ for the home folder replaced."""
    for name, keys in PATHS.items():
        section = config[name] if name else config
        section |= {key: one_path(section[key]) for key in keys if key in section}
    return config


def one_path(value: Any) -> Any:
    """Returns a path, or each of a list, in the form that pathlib gives it."""
    if isinstance(value, list):
        return [one_path(item) for item in value]
    if not isinstance(value, str) or not value:
        return value
    return str(Path(value).expanduser() if re.match("~(/|$)", value) else Path(value))


def leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yields each value in nested mappings and lists, with its dotted key."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
