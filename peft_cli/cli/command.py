"""The command line: flags, help, one run or a sweep, and one sentence for whatever a user gets wrong.

    flags and overrides -> config.compose -> task, once or by a sweep's engine for each run -> exit code

What needs Hydra is imported where it is used: help stays quick.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from textwrap import fill
from typing import TYPE_CHECKING, Any, NoReturn

from peft_cli.config.options import config_text, groups, options
from peft_cli.config.plugins import add_plugin_flags, use_plugins
from peft_cli.config.version import __version__
from peft_cli.run_folder.failure import Failure, failure_of, repeat_command, sentence
from peft_cli.run_folder.signals import Stopped

if TYPE_CHECKING:
    from peft_cli.config.compose import Composed, Composer, Draft
    from peft_cli.sweep import Engine, Options, Run, Task

PURPOSE = """\
peft-run trains one parameter-efficient method on one frozen backbone with a few examples, scores
it, and leaves one folder with result.json; -m does that for every combination of values.

Examples
  peft-run
  peft-run method=spt data=e2e shots=50 data.root=data/e2e
  peft-run -m method=pt,spt,ft_top2,ft shots=50,200 seed=0,1
"""
MORE = """\
More
  peft-run method=pt --cfg job           prints every key of this run, without running it
  peft-run --config-dir my_conf method=mine     options of your own, in my_conf/method/mine.yaml
  peft-run --plugin my_package method=mine      a method, data set or backbone of your own package
  peft-run --hydra-help                  Hydra's own flags and keys
  peft-run --version                     the version
  eval "$(peft-run --shell-completion install=bash)"    switches tab completion on (or zsh, fish)"""


class Flags(ArgumentParser):
    """The flags of peft-run; what is wrong with them is a ValueError."""

    def __init__(self) -> None:
        super().__init__("peft-run", add_help=False)
        self.add_argument("--help", "-h", action="store_true", help="groups, options and keys")
        self.add_argument("--hydra-help", action="store_true", help="this page")
        self.add_argument("--version", action="store_true", help="the version")
        add_plugin_flags(self)
        self.add_argument("--package", "-p", help="the part that --cfg prints")
        self.add_argument("--resolve", action="store_true", help="whether --cfg resolves interpolations")
        modes = self.add_mutually_exclusive_group()
        modes.add_argument("--run", "-r", action="store_true", help="one run, as without it")
        modes.add_argument("--multirun", "-m", action="store_true", help="every combination of values")
        modes.add_argument("--cfg", "-c", choices=["job", "hydra", "all"], help="print the configuration")
        modes.add_argument("--info", "-i", nargs="?", const="all", help="how Hydra composes the configuration")
        modes.add_argument("--shell-completion", "-sc", action="store_true", help="tab completion")
        self.add_argument("overrides", nargs="*", help="key=value")

    def error(self, message: str) -> NoReturn:
        """Raises ValueError."""
        raise ValueError(f"{message}; peft-run --help shows what there is")


@dataclass(frozen=True)
class Work:
    """What is done with a composed configuration."""

    task: Task  # does a run
    request: Callable[[dict], None] = lambda config: None  # raises ValueError for what the task cannot do
    complete: Callable[[dict], dict] = dict  # makes of a configuration the one that the task knows its folder by


def command(load: Callable[[], Work]) -> None:
    """Does what the command line asks for; `load` is called when there is something to run.

    Exits with 1 for a run that failed, 2 for a request that cannot be met, 130 after Ctrl-C.
    """
    try:
        code = start(load, sys.argv[1:])
    except (ValueError, OSError) as error:
        print(f"peft-run: {sentence(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("peft-run: stopped by Ctrl-C", file=sys.stderr)
        code = 130
    except Stopped as stop:
        print(f"peft-run: {stop}", file=sys.stderr)
        code = 128 + stop.number
    if code:
        sys.exit(code)


def start(load: Callable[[], Work], arguments: Sequence[str]) -> int:
    """Shows or runs what some arguments ask for, and returns the exit code."""
    flags = Flags().parse_intermixed_args(arguments)
    use_plugins(flags.plugin, flags.config_dir)
    if flags.help or flags.version:
        print(page() if flags.help else f"peft-run {__version__}")
        return 0
    from peft_cli.config.compose import composer

    words = flags.overrides
    if flags.shell_completion:
        read_half_written()
    with composer() as compose:
        if flags.shell_completion or flags.hydra_help or flags.info:
            return show_hydra(flags)
        if flags.cfg:
            return show_config(compose.draft(words).config, flags)
        if flags.multirun or any(re.match(r"\+*experiment=|plan=(?!(?i:false)$)", word) for word in words):
            return run_sweep(load(), compose, words)
        return run_once(load().task, compose(words))


def run_once(task: Task, composed: Composed) -> int:
    """Runs a task with one configuration and returns the exit code."""
    failure = attempt(task, composed)
    if failure and failure.is_wrong_request:
        print(f"peft-run: {failure.reason}", file=sys.stderr)
    return exit_code([failure])


def run_sweep(work: Work, compose: Composer, words: Sequence[str]) -> int:
    """Composes all runs of a sweep, does what is left of them, lists what failed, and returns the exit code."""
    from peft_cli.config.experiments import combine
    from peft_cli.config.values import check
    from peft_cli.sweep import Options, sweep

    combinations = combine(words)
    composed = [complete_run(compose(lines), work.complete) for lines in combinations]
    values = {field.name: composed[0].config[field.name] for field in fields(Options)}
    check(values, Options, "")
    options = Options(**values)
    failures = sweep(composed, options, engine(work.task, compose.draft(combinations[0]), options), work.request)
    failed = [(run, failure) for run, failure in zip(composed, failures, strict=True) if failure]
    if failed:
        print(f"{len(failed)} of {len(composed)} runs failed:", file=sys.stderr)
    for run, failure in failed:
        log = f"\n    printed: {failure.log}" if failure.log else ""
        print(f"  {repeat_command(run.overrides)}\n    {failure.reason}{log}", file=sys.stderr)
    return exit_code(failures)


def complete_run(run: Composed, complete: Callable[[dict], dict]) -> Composed:
    """Returns a run with its complete configuration; one that cannot be completed stays, and fails alone."""
    try:
        return run._replace(config=complete(run.config))
    except (ValueError, OSError):
        return run


def engine(task: Task, draft: Draft, options: Options) -> Engine:
    """Returns what does the runs of a sweep, as the launcher of a configuration has it."""
    from peft_cli.config.values import check
    from peft_cli.sweep import local, slurm

    launcher, resources = draft.choices["launcher"], draft.config["launcher"]
    if launcher == "local":
        return local.Local(task, options.jobs, options.jobs_per_gpu)
    if options.jobs_per_gpu > 1:
        raise ValueError(f"jobs_per_gpu={options.jobs_per_gpu} is for hydra/launcher=local alone")
    if launcher == "slurm":
        check(resources, slurm.Resources, "hydra.launcher")
        return slurm.Slurm(task, options.jobs, slurm.Resources(**resources))
    if options.jobs:
        raise ValueError(f"jobs={options.jobs} is for hydra/launcher=local and hydra/launcher=slurm alone")
    return lambda runs: {str(run.folder.path): failure for run in runs if (failure := attempt(task, run))}


def attempt(task: Task, run: Composed | Run) -> Failure | None:
    """Runs a task in this process and returns how it failed, if it did; a bug also prints its traceback."""
    try:
        task(run.config, run.choices, run.overrides)
    except (Exception, SystemExit) as error:  # one run of a sweep does not end the others
        failure = failure_of(error)
        if not failure.is_wrong_request:
            traceback.print_exception(error)
        return failure
    return None


def exit_code(failures: Sequence[Failure | None]) -> int:
    """Returns 0 if no run failed, 2 if each was a wrong request, or else 1."""
    if not any(failures):
        return 0
    return 2 if all(failure and failure.is_wrong_request for failure in failures) else 1


def show_config(config: dict[str, Any], flags: Namespace) -> int:
    """Prints a configuration, or the part of it that the flags ask for, as YAML."""
    from omegaconf import Container, OmegaConf

    parts = {"hydra": {"hydra": {"launcher": config.pop("launcher")}}, "job": config}
    node: Any = OmegaConf.create(parts.get(flags.cfg, parts["job"] | parts["hydra"]))
    if flags.package:
        node = OmegaConf.select(node, flags.package)
        if node is None:
            raise ValueError(f"--package {flags.package} is not possible: --cfg {flags.cfg} has no such part")
        print(f"# @package {flags.package}")
    print(OmegaConf.to_yaml(node, resolve=flags.resolve) if isinstance(node, Container) else node, end="")
    return 0


def show_hydra(flags: Namespace) -> int:
    """Prints what --shell-completion, --hydra-help or --info asks Hydra for."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    hydra: Any = GlobalHydra.instance().hydra  # which is set inside composer()
    store = ConfigStore.instance()
    for name in options("experiment"):  # their names; their files are read in config.experiments alone
        store.store(group="experiment", name=name, node={})
    if flags.hydra_help:
        hydra.hydra_help(None, Flags(), flags)
    elif flags.info:
        hydra.show_info(flags.info, "config", flags.overrides)
    else:
        with suppress(HydraException):  # a half-written command has no completions
            hydra.shell_completion("config", flags.overrides)
    return 0


def read_half_written() -> None:
    """Takes the flags, which Hydra does not have, out of the command that a shell asks to complete."""
    line = os.environ.get("COMP_LINE", "")
    with suppress(ValueError):
        flags = Flags().parse_intermixed_args(line.split()[1:])
        use_plugins(flags.plugin, flags.config_dir)
        os.environ["COMP_LINE"] = " ".join(["peft-run -m", *flags.overrides]) + " " * line.endswith(" ")


def page() -> str:
    """Returns what --help prints, from the files in conf/ and experiments/."""
    lines = [PURPOSE, "Groups (group=option; * is the default)"]
    for group, default in groups().items():
        names = options(group).items()
        lines += [f"{group}=", *rows((f"{' *'[name == default]} {name}", text) for name, text in names)]
    lines += ["", "Experiments (peft-run -m +experiment=name)"]
    lines += [*rows((f"  {name}", text) for name, text in options("experiment").items())] or ["  none"]
    lines += ["", "Keys (key=value; a key of a group as in method.lr=0.003)"]
    keys = re.findall(r"^(\w+): (\S+) # (.+)$", config_text(), re.MULTILINE)
    lines += [*rows((f"  {key}={value}", text) for key, value, text in keys)]
    return "\n".join([*lines, "", MORE])


def rows(table: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields lines of at most 100 columns with a name and its explanation."""
    for name, text in table:
        yield fill(text, 100, initial_indent=f"{name:<19} ", subsequent_indent=" " * 20, break_on_hyphens=False)
