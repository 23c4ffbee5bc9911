"""From overrides to checked configurations; quickly where a sweep asks for hundreds of them.

overrides -> Hydra composes the options, once for each choice of them -> values are set -> resolved, normalised, checked
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from peft_cli.config.experiments import chosen_settings, combine, read_experiment
from peft_cli.config.options import groups, list_options, option_file, options, resource_folder
from peft_cli.config.overrides import read_single
from peft_cli.config.plugins import NAMED, config_folders, plugin_flags
from peft_cli.config.targets import check_target
from peft_cli.config.values import expand_paths, format_value, leaves, normalise


class Composed(NamedTuple):
    """One run: the words of the command that asks for it, its configuration, and the chosen option of each group."""

    overrides: list[str]
    config: dict[str, Any]
    choices: dict[str, str]


class Draft(NamedTuple):
    """A configuration with its launcher, before its interpolations are resolved."""

    config: dict[str, Any]
    defaults: dict[str, Any]  # of the same options
    choices: dict[str, str]


class ConfigFolders(SearchPathPlugin):
    """Puts the folders of options that a user named behind our own, where Hydra looks for options."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds the folders."""
        for folder in config_folders():
            search_path.append("peft-run", f"file://{folder}")


@contextmanager
def composer() -> Iterator[Composer]:
    """Yields what composes configurations, with Hydra's global state while it is needed; its errors are ValueErrors."""
    Plugins.instance().register(ConfigFolders)
    before, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # that of a program that calls this one
    try:
        with hydra.initialize_config_dir(str(resource_folder("conf").resolve()), "peft-run", version_base="1.3"):
            yield Composer()
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ValueError(describe_error(error)) from error
    finally:
        GlobalHydra.instance().hydra = before


def compose(overrides: Sequence[str]) -> Composed:
    """Returns the run that some overrides ask for; raises ValueError where there is none."""
    with composer() as composed:
        return composed(overrides)


def compose_option(group: str, name: str) -> dict[str, Any]:
    """Returns the keys of one option of a group; raises ValueError where there is no such option."""
    with composer():
        keys: dict[str, Any] = compose_options({group: name}).config[group]
    return keys


class Composer:
    """Composes runs: each choice of options is put together once, values are set on copies of it."""

    def __init__(self) -> None:
        self.choose, self.read = cache(choose), cache(read_single)

    def __call__(self, overrides: Sequence[str]) -> Composed:
        """Returns the run that some overrides ask for; raises ValueError where there is none."""
        config, defaults, choices = self.draft(overrides)
        del config["launcher"]
        resolved: Any = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
        config = expand_paths(normalise(resolved, defaults))
        check_complete(config)
        own = [line for line in overrides if not self.read(line).key.startswith("launcher")]
        names = {group: choices[group] for group in groups() if group != "launcher"}
        return Composed([*plugin_flags(), *own], config | deepcopy(NAMED), names)

    def draft(self, overrides: Sequence[str]) -> Draft:
        """Returns the configuration that some overrides ask for; values may be missing, but targets are checked."""
        settings, choices = [self.read(line) for line in overrides], {*groups(), "experiment"}
        draft = self.choose(tuple((setting.key, setting.texts[0]) for setting in settings if setting.key in choices))
        draft = with_values(draft, {setting.key: setting.value for setting in settings if setting.key not in choices})
        check_targets(draft.config)
        return draft


def choose(choices: tuple[tuple[str, str], ...]) -> Draft:
    """Returns the configuration of some options, and of an experiment if it is one of them."""
    chosen = {group: option.strip(" '\"") for group, option in choices}
    name = chosen.pop("experiment", None)
    if name is None:
        return compose_options(chosen)
    experiment = read_experiment(name)
    settings = chosen_settings(experiment, groups() | experiment.choices | chosen)
    more = {key: str(settings.pop(key)) for key in groups() if key in settings}
    draft = compose_options(experiment.choices | more | chosen)
    try:
        return with_values(draft, experiment.values | settings)
    except ValueError as error:
        raise ValueError(f"{experiment.path}: {error}") from None


def compose_options(chosen: dict[str, str]) -> Draft:
    """Returns the configuration of some options, as Hydra composes it."""
    for group, option in chosen.items():
        option_file(group, option)
    config: Any = OmegaConf.to_container(hydra.compose("config", [f"{group}={chosen[group]}" for group in chosen]))
    return Draft(config, config, groups() | chosen)


def with_values(draft: Draft, values: Mapping[str, object]) -> Draft:
    """Returns a copy of a draft with values for some dotted keys, where a mapping is added to the one that is there."""
    config = deepcopy(draft.config)
    for key, value in values.items():
        check_key(key, draft)
        section, (*parents, last) = config, key.split(".")
        for i, parent in enumerate(parents, 1):
            section[parent] = {} if section.get(parent) is None else section[parent]  # null takes any mapping
            section = section[parent]
            if not isinstance(section, dict):
                raise ValueError(f"there is no value {key}; {'.'.join(parents[:i])} is a single value")
        before, value = section.get(last), deepcopy(value)
        section[last] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return draft._replace(config=config)


def check_key(key: str, draft: Draft) -> None:
    """Raises ValueError unless there is a dotted key."""
    head, *rest = key.split(".")
    config, last = draft.config, key.rpartition(".")[2]
    elsewhere = [f"{group}.{last}" for group in groups() if last in config[group]]
    if head not in config:
        raise ValueError(f"there is no key {head}; {list_options('there are', head, config, elsewhere)}")
    if bool(rest) != (head in groups()):
        raise ValueError(f"there is no value {key}; {head} is {'a single value' if rest else 'a group of them'}")
    if rest and rest[0] not in config[head]:
        names = [name for name in config[head] if not name.startswith("_")]
        there = list_options("it has", rest[0], names, elsewhere)
        raise ValueError(f"{head}={draft.choices[head]} has no key {rest[0]}; {there}")


def check_complete(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a key without a value, and for a folder of runs that cannot be one."""
    for key, value in leaves(config):
        if value == "???":
            raise ValueError(f"{key} has no value; add {key}=... to the command")
    runs = config["runs"]
    if not isinstance(runs, str) or not runs:
        raise ValueError(f"runs={format_value(runs)} is not possible: it has to be text, the folder of all run folders")
    if files := [path for path in (Path(runs), *Path(runs).parents) if path.is_file()]:
        raise ValueError(f"runs={runs} is not possible: {files[0]} is a file, and it has to be a folder")


def check_targets(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a target that its group may not have, and for one where there is no target."""
    for group in ("data", "backbone", "method"):
        check_target(config[group].get("_target_"), group)
    if flatten := config["data"].get("flatten"):
        check_target(flatten, "data")
    for key, value in leaves(config):
        group, _, name = key.rpartition(".")
        if name == "_target_" and group not in ("data", "backbone", "method"):
            raise ValueError(f"{key}={value} is not possible: {group} has no target")


def experiment_runs() -> Iterator[Composed]:
    """Yields each run that an experiment of experiments/ asks for."""
    with composer() as composed:
        for name in options("experiment"):
            yield from map(composed, combine([f"+experiment={name}"]))


def describe_error(error: BaseException) -> str:
    """Returns one sentence about an error of Hydra, OmegaConf or YAML, without search paths and types."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}, is not YAML: {error.problem}"
    if isinstance(error, MissingConfigException):  # the other lines are the search path
        return str(error).splitlines()[0]
    if isinstance(error, OmegaConfBaseException):
        return (f"{error.full_key}: " if error.full_key else "") + str(error).splitlines()[0]
    causes = [error.__cause__] if isinstance(error.__cause__, OmegaConfBaseException) else []
    return "; ".join(filter(None, [" ".join(str(error).split()), *map(describe_error, causes)]))
