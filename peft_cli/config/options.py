"""The groups of the configuration and the options of each, from the files in conf/ and experiments/."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from peft_cli.config.plugins import PACKAGE, config_folders


def groups() -> dict[str, str]:
    """Returns the default option of each group, from the defaults in config.yaml."""
    return dict(re.findall(r"^  - (\w+): (\S+)", config_text(), re.MULTILINE))


def options(group: str) -> dict[str, str]:
    """Returns the options of a group, each with the first comment line of its file; `experiment` is a group too."""
    texts = {name: file.read_text(encoding="utf-8") for name, file in option_files(group).items()}
    return {name: "".join(re.findall(r"^# ([^@\n]+)", text, re.MULTILINE)[:1]) for name, text in texts.items()}


def option_files(group: str) -> dict[str, Path]:
    """Returns the file of each option of a group, sorted; raises ValueError for two files of one option."""
    own = resource_folder("experiments") if group == "experiment" else resource_folder("conf") / group
    files: dict[str, Path] = {}
    for home in (own, *(folder / group for folder in config_folders())):
        for file in home.glob("*.yaml"):
            if file.stem in files:
                raise ValueError(f"{group}={file.stem} has two files, {files[file.stem]} and {file}; rename yours")
            files[file.stem] = file
    return dict(sorted(files.items()))


def option_file(group: str, option: str) -> Path:
    """Returns the file of an option; raises ValueError where there is no such option."""
    files = option_files(group)
    if option not in files:
        raise ValueError(f"there is no {group}={option}; {list_options('there are', option, files)}")
    return files[option]


def config_text() -> str:
    """Returns the text of conf/config.yaml."""
    return (resource_folder("conf") / "config.yaml").read_text(encoding="utf-8")


def resource_folder(name: str) -> Path:
    """Returns conf/ or experiments/: inside the installed package or, in a checkout, beside it."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


def list_options(beginning: str, wrong: str, names: Iterable[str], others: Iterable[str] = ()) -> str:
    """Returns the end of a sentence that lists names, and suggests `others` or the name nearest to a wrong one."""
    from difflib import get_close_matches

    suggested = " or ".join(list(others) or get_close_matches(wrong, names := list(names), 1))
    return f"{beginning} {', '.join(names) or 'none'}" + (f"; did you mean {suggested}?" if suggested else "")
