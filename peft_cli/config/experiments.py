"""The experiments of experiments/: options, values, what a sweep of them runs, and settings for some options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from peft_cli.config.options import groups, list_options, option_file
from peft_cli.config.overrides import read_override
from peft_cli.config.values import format_value


class Experiment(NamedTuple):
    """What the file of an experiment has."""

    path: Path
    choices: dict[str, str]  # group -> option
    values: dict[str, object]  # dotted key -> value
    sweep: list[str]  # overrides with several values
    settings: dict[str, dict[str, object]]  # "group=option, group=option" -> values by dotted key


def read_experiment(name: str) -> Experiment:
    """Returns an experiment; raises ValueError where there is none."""
    path = option_file("experiment", name)
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no experiment: it has to be a mapping of keys to values")
    defaults, settings, hydra = (content.pop(key, None) or {} for key in ("defaults", "settings", "hydra"))
    params = (hydra.pop("sweeper", None) or {}).get("params") or {}
    lines = [line for line in defaults if isinstance(line, dict)]  # the other one is _self_
    choices = {group.rpartition("/")[2]: str(option) for line in lines for group, option in line.items()}
    values: dict[str, object] = {}
    for key, value in (content | hydra).items():
        is_section = key in groups() and isinstance(value, dict)
        values |= {f"{key}.{inner}": item for inner, item in value.items()} if is_section else {key: value}
    sweep = [f"{key}={value if isinstance(value, str) else format_value(value)}" for key, value in params.items()]
    return Experiment(path, choices, values, sweep, settings)


def chosen_settings(experiment: Experiment, choices: Mapping[str, str]) -> dict[str, object]:
    """Returns the values by dotted key that an experiment has for some choices of options.

    They stand in its file as `settings: {"method=pt": {method.lr: 0.3}}`; several choices have a comma between them.
    Raises ValueError for a choice that cannot be.
    """
    chosen: dict[str, object] = {}
    for condition, values in experiment.settings.items():
        wanted = dict(choice.strip().partition("=")[::2] for choice in condition.split(","))
        for group, option in wanted.items():
            if group not in groups():
                names = list_options("there are", group, groups())
                raise ValueError(f"{experiment.path}: settings has {condition}; {names}")
            option_file(group, option)
        if all(choices[group] == option for group, option in wanted.items()):
            chosen |= values
    return chosen


def combine(overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of each run of a sweep: every combination of values, also of those that an experiment has.

    Of two overrides of one key the last counts. Raises ValueError for two experiments.
    """
    given = {setting.key: setting.texts for setting in map(read_override, overrides)}
    names = given.get("experiment", [])
    if len(names) > 1:
        raise ValueError(f"experiment={','.join(names)} is not possible: one experiment runs at a time")
    swept = [read_override(line) for name in names for line in read_experiment(name).sweep]
    texts = {setting.key: setting.texts for setting in swept} | given
    lines = [[f"{'+' * (key == 'experiment')}{key}={text}" for text in texts[key]] for key in texts]
    return [list(combination) for combination in product(*lines)]
