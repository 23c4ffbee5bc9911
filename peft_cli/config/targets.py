"""Which function or class a `_target_` may name: what its group is for, in this package or in a plug-in.

A configuration may come from elsewhere, as in the folder of a run: nothing else in this package can be called by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from peft_cli.config.plugins import packages


def resolve(target: str, group: str) -> Callable[..., Any]:
    """Returns the function or class that the `_target_` of a group (data, backbone, method) names.

    Raises ValueError for a name that does not exist, that is elsewhere, or that is no method where one has to be.
    """
    check_target(target, group)
    module, _, attribute = target.rpartition(".")
    wrong = f"{group}._target_={target} is not possible"
    try:
        value = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if not is_inside(module, str(error.name)):
            raise  # the module is there and needs a library that is not
        raise ValueError(f"{wrong}: there is no module {error.name}") from None
    if not callable(value) or not is_accepted(f"{value.__module__}.{attribute}", group):
        raise ValueError(f"{wrong}: {module} has no function or class {attribute}")
    bases = value.__mro__ if isinstance(value, type) else ()
    if group == "method" and "peft_cli.method.Method" not in [f"{base.__module__}.{base.__name__}" for base in bases]:
        raise ValueError(f"{wrong}: it has to be a subclass of peft_cli.method.Method")
    return value


def build(section: Mapping[str, Any], group: str, **given: Any) -> Any:
    """Returns what the `_target_` of a section of the configuration makes of its keys and of what is `given`."""
    arguments = {key: value for key, value in section.items() if key != "_target_"}
    return resolve(section["_target_"], group)(**given, **arguments)


def check_target(target: object, group: str) -> None:
    """Raises ValueError for a name that the `_target_` of a group may not have; imports nothing."""
    if not is_accepted(str(target), group):
        home = "peft_cli.backbone.loading.load_backbone" if group == "backbone" else f"inside peft_cli.{group}"
        hint = f"it has to be {home}, or in a package that --plugin names"
        raise ValueError(f"{group}._target_={target} is not possible: {hint}")


def is_accepted(target: str, group: str) -> bool:
    """Whether a dotted name is where the targets of a group are."""
    is_own = is_inside(target, f"peft_cli.{group}") and (group != "backbone" or target.endswith(".load_backbone"))
    return is_own or any(is_inside(target, package) for package in packages())


def is_inside(name: str, package: str) -> bool:
    """Whether a dotted name is a package or something in it."""
    return f"{name}.".startswith(f"{package}.")
