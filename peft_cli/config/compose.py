"""From overrides to configurations, checked; quickly where a sweep asks for hundreds of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from peft_cli.config.check import (
    HYDRAS_OWN,
    accept,
    check_content,
    check_experiment,
    check_key,
    check_keys,
    folder,
    groups,
    options,
    own,
    settings,
)

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig


class Composed(NamedTuple):
    """One run of a sweep: its own overrides, its resolved configuration, and the chosen option of each group."""

    overrides: list[str]
    config: dict
    choices: dict[str, str]


def compose(plain: Callable, runs: bool, *, config_name: str, overrides: list[str], run_mode: Any, **rest: Any) -> Any:
    """Return Hydra's composition (`plain`), after a check of each override and of the whole.

    A sweep is composed from the first value of each key here and from each combination later: so keys of a
    method can be set in a sweep that has not got the default method.
    """
    from hydra.types import RunMode

    is_sweep = run_mode is RunMode.MULTIRUN
    accepted = [accept(override, is_sweep) for override in overrides]
    firsts = [first for _, first in accepted]
    try:
        cfg = plain(config_name=config_name, overrides=firsts, run_mode=run_mode, **rest)
    except Exception:
        check_keys(firsts, plain)
        raise
    choices = cfg.hydra.runtime.choices
    if "experiment" in choices:
        check_experiment(cfg, plain)
        more = [] if is_sweep else settings(choices.experiment, choices, firsts)
        if more:
            check_keys([*firsts, *more], plain)
            cfg = plain(config_name=config_name, overrides=[*firsts, *more], run_mode=run_mode, **rest)
    cfg.hydra.overrides.task = [line for line, _ in accepted if not re.match(HYDRAS_OWN, line)]
    check_content(cfg, is_complete=runs and not is_sweep)
    return cfg


class Composer:
    """Composes the runs of a sweep: Hydra puts each choice of options together once, values are set on copies of it."""

    def __init__(self, loader: ConfigLoader, master: DictConfig):
        self.loader, self.hydras_own = loader, list(master.hydra.overrides.hydra)
        self.chosen, self.parsed = cache(self.choose), cache(self.parse)

    def __call__(self, overrides: list[str]) -> Composed:
        """Return the run that some overrides ask for; raises ValueError where there is none."""
        from omegaconf import OmegaConf

        is_choice = re.compile(rf"\+*({'|'.join(groups())}|experiment)=").match
        cfg, empty = self.chosen(tuple(filter(is_choice, overrides)))
        choices = cfg.hydra.runtime.choices
        ours = deepcopy(empty)
        for line in overrides:
            if not is_choice(line):
                key, value = self.parsed(line)
                check_key(key, cfg)
                OmegaConf.update(ours, key, value, merge=True)
        check_content(ours, is_complete=True)
        config = OmegaConf.to_container(ours, resolve=True)
        return Composed(list(overrides), config, {group: choices[group] for group in groups()})

    def choose(self, choices: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        """Return the composition of some choices of options, and the same without Hydra's part."""
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        plain = type(self.loader).load_configuration.__get__(self.loader)  # Hydra's, not what command.py put there
        overrides = [*self.hydras_own, *choices]
        cfg = compose(plain, False, config_name="config", overrides=overrides, run_mode=RunMode.RUN)
        return cfg, OmegaConf.create(own(cfg, resolve=False))

    def parse(self, line: str) -> tuple[str, Any]:
        """Return the key and the value of an override."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        (override,) = OverridesParser.create(self.loader).parse_overrides([accept(line, False)[0]])
        return override.key_or_group, override.value()


def experiments() -> Iterator[str]:
    """Yield the folder, as it is called below `runs`, of each run that an experiment of experiments/ asks for."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from peft_cli.run_folder.result import folder_of

    for experiment in options("experiment"):
        with hydra_loader() as loader:
            overrides = [f"+experiment={experiment}", "hydra.mode=MULTIRUN"]
            plain = type(loader).load_configuration.__get__(loader)
            cfg = compose(plain, False, config_name="config", overrides=overrides, run_mode=RunMode.MULTIRUN)
            params = OmegaConf.to_container(cfg.hydra.sweeper.params) or {}
            asked = [f"+experiment={experiment}", *(f"{key}={value}" for key, value in params.items())]
            parsed = OverridesParser.create(loader).parse_overrides(asked)
            composer = Composer(loader, cfg)
            for one in BasicSweeper.split_arguments(parsed, None)[0]:
                run = composer(one)
                yield str(folder_of(run.config, run.choices).path.relative_to(run.config["runs"]))


@contextmanager
def hydra_loader() -> Iterator[ConfigLoader]:
    """Yield what composes configurations from conf/ and experiments/, with Hydra's global state while it is needed."""
    from hydra import version as hydra_version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    hydra_version.setbase("1.3")
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{folder('conf')}"))
    ConfigStore.instance().repo.pop("experiment", None)
    for name in options("experiment"):  # names for tab completion; `accept` reads the file that is asked for
        ConfigStore.instance().store(group="experiment", name=name, node={})
    GlobalHydra.instance().clear()
    GlobalHydra.instance().initialize(Hydra("peft-run", loader))
    try:
        yield loader
    finally:
        GlobalHydra.instance().clear()
