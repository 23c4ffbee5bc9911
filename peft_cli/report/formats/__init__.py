"""What a report can be written as. One file for each format, with SUFFIX and write(sections, runs) -> text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from peft_cli.report.document import Section
from peft_cli.report.runs import Run


def formats() -> list[str]:
    """The names of all formats: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def module(name: str) -> ModuleType:
    """The module of a format."""
    return import_module(f"peft_cli.report.formats.{name}")


def written(name: str, sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """The report in a format, with a line end."""
    return module(name).write(sections, runs).rstrip("\n") + "\n"
