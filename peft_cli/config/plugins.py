"""What a user adds from outside: packages with methods, data sets and backbones, and folders with more options.

A package is named by `--plugin` or by an installed distribution's entry point of the group `peft_cli.plugins`; a folder
`conf` in it holds its options. `--config-dir` names a folder of options alone.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAMED: dict[str, list[str]] = {"plugins": [], "config_dirs": []}  # in this process, as a configuration records them


def add_plugin_flags(parser: ArgumentParser) -> None:
    """Gives a command the two flags whose values `use_plugins` takes."""
    about = "a package whose methods, data sets and backbones are accepted; several times"
    parser.add_argument("--plugin", action="append", default=[], metavar="PACKAGE", help=about)
    about = "a folder with options of your own, laid out as conf/; several times"
    parser.add_argument("--config-dir", "-cd", action="append", default=[], metavar="FOLDER", help=about)


def use_plugins(plugins: Sequence[str], config_dirs: Sequence[str]) -> None:
    """Accepts the targets of some packages and the options of some folders, and no longer those named earlier.

    Raises ValueError for a package that cannot be imported and a folder that is absent.
    """
    for name in plugins:
        if not re.fullmatch(r"(?!peft_cli\b)[^\W\d]\w*(\.\w+)*", name) or not code_path(name):
            hint = "it has to be the name of a package that is installed or on PYTHONPATH"
            raise ValueError(f"--plugin {name} is not possible: {hint}")
    for folder in config_dirs:
        if not Path(folder).is_dir():
            raise ValueError(f"--config-dir {folder} is not possible: there is no such folder")
    NAMED.update(plugins=list(plugins), config_dirs=[str(Path(folder).absolute()) for folder in config_dirs])


def plugin_flags() -> list[str]:
    """Returns the flags of `peft-run` that name the same packages and folders."""
    flags = {"--plugin": "plugins", "--config-dir": "config_dirs"}
    return [word for flag, key in flags.items() for name in NAMED[key] for word in (flag, name)]


def packages() -> list[str]:
    """Returns the packages outside this one whose targets are accepted."""
    return [*NAMED["plugins"], *installed_plugins()]


@cache
def installed_plugins() -> tuple[str, ...]:
    """Returns the packages that entry points of installed distributions name."""
    return tuple(point.module for point in entry_points(group="peft_cli.plugins"))


def config_folders() -> list[Path]:
    """Returns the folders of options beside our own."""
    return [*map(Path, NAMED["config_dirs"]), *(home for path in code_paths()[1:] if (home := path / "conf").is_dir())]


def code_paths() -> list[Path]:
    """Returns the folder of this package, and the folder or file of each plug-in."""
    return [PACKAGE, *(path for name in packages() if (path := code_path(name)))]


def code_path(name: str) -> Path | None:
    """Returns the folder of a package or the file of a module, or None where there is neither."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return next((Path(place) for place in places if place), None)
