"""Forms in which an encoder is asked for a class in words, where no new head of the classes answers."""

from __future__ import annotations

from functools import partial
from typing import Any

from peft_cli.data import Data
from peft_cli.forms.templates import build_form

__all__ = ["build_form", "task_kwargs"]


def task_kwargs(data: Data, method_form: str = "classes") -> dict[str, Any]:
    """What a backbone is loaded with for a task: its classes, or that it is a number, and the form of the method."""
    kind = {"labels": data.labels, "is_number": data.scale is not None}
    return kind | {"method_form": method_form, "build_form": partial(build_form, data.hypothesis)}
