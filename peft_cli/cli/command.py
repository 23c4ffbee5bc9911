"""The command line: help, Hydra's composition and sweeps, and one sentence for whatever a user gets wrong.

    flags and overrides -> compose (checked) -> task, once or for each run of a sweep -> exit code

Hydra and all that is heavier are imported where they are used: help and tab completion stay quick.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from peft_cli.config.check import (
    config_text,
    groups,
    listed,
    options,
    unreadable,
)
from peft_cli.config.compose import compose, hydra_loader
from peft_cli.run_folder.failure import Failure, failure_of, repeat_command, sentence
from peft_cli.run_folder.signals import Stopped

if TYPE_CHECKING:
    from argparse import Namespace

    from hydra._internal.hydra import Hydra
    from omegaconf import DictConfig

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
  peft-run --hydra-help                  Hydra's own flags and keys
  peft-run --version                     the version
  eval "$(peft-run --shell-completion install=bash)"    switches tab completion on (or zsh, fish)"""


Request = Callable[[dict], None]
Complete = Callable[[dict], dict]
Task = Callable[["DictConfig", dict[str, str], list[str]], None]  # configuration, option of each group, overrides


def command(
    task: Task, request: Request = lambda config: None, complete: Complete = lambda config: config
) -> Callable[[], None]:
    """Return the console entry point that composes configurations and runs a task with each.

    `request` raises ValueError for a configuration that the task cannot do; a plan of a sweep asks it. `complete` makes
    of a configuration the one that the task knows its folder by.
    The entry point exits with 1 for a run that failed, 2 for a request that cannot be met, 130 after Ctrl-C.
    """

    def main() -> None:
        arguments = sys.argv[1:]
        if show_page(arguments):
            return
        if code := guarded(Attempt(task, request, complete), arguments):
            sys.exit(code)

    return main


def show_page(arguments: list[str]) -> bool:
    """Print help or the version where the arguments ask for one; return whether they do."""
    if {"-h", "--help"} & set(arguments):
        print(page())
    elif "--version" in arguments:
        print(version())
    else:
        return False
    return True


def guarded(attempt: Attempt, arguments: list[str]) -> int:
    """Return the exit code; what is wrong before a task starts becomes one sentence on stderr."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints and exits by itself
    try:
        return start(attempt, parse(arguments))
    except (ValueError, OSError, HydraException, OmegaConfBaseException, YAMLError) as error:
        print(f"peft-run: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("peft-run: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except Stopped as stop:
        print(f"peft-run: {stop}", file=sys.stderr)
        return 128 + stop.number


def parse(arguments: list[str]) -> Namespace:
    """Return Hydra's flags and the overrides, in whatever order they came."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> None:
        raise ValueError(f"{message}; peft-run --help shows what there is")

    parser = get_args_parser()
    parser.error = refuse
    flags = parser.parse_intermixed_args(arguments)
    for name in ("config_path", "config_name", "config_dir", "experimental_rerun"):
        if getattr(flags, name) is not None:
            refuse(f"--{name.replace('_', '-')} is not possible here")
    if sum(map(bool, (flags.run, flags.multirun, flags.cfg, flags.info, flags.shell_completion))) > 1:
        refuse("only one of --run, --multirun, --cfg, --info and --shell-completion is possible at a time")
    sweeping = r"\+*experiment=|hydra\.mode=MULTIRUN$|plan=(?!false$)"
    is_sweep = any(re.match(sweeping, override) for override in flags.overrides)
    flags.multirun = flags.multirun or is_sweep
    return flags


def start(attempt: Attempt, flags: Namespace) -> int:
    """Do what the flags ask for and return the exit code."""
    from hydra.core.global_hydra import GlobalHydra

    with hydra_loader() as loader:
        hydra = GlobalHydra.instance().hydra
        if flags.cfg or flags.info or flags.hydra_help or flags.shell_completion:
            return show(hydra, flags)
        loader.load_configuration = partial(compose, loader.load_configuration, True)
        return run(attempt, hydra, flags)


def show(hydra: Hydra, flags: Namespace) -> int:
    """Print what --shell-completion, --hydra-help, --cfg or --info asks for."""
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException

    if flags.shell_completion:
        with suppress(HydraException):  # a half-written command has no completions
            hydra.shell_completion("config", flags.overrides)
    elif flags.hydra_help:
        hydra.hydra_help(None, get_args_parser(), flags)
    else:
        loader = hydra.config_loader
        loader.load_configuration = partial(compose, loader.load_configuration, False)
        if flags.cfg:
            hydra.show_cfg("config", flags.overrides, flags.cfg, flags.package, flags.resolve)
        else:
            hydra.show_info(flags.info, "config", flags.overrides)
    return 0


def run(attempt: Attempt, hydra: Hydra, flags: Namespace) -> int:
    """Run a task once or, in a sweep, for each run; list what failed, and return the exit code."""
    if not flags.multirun:
        failure = hydra.run("config", attempt, flags.overrides).return_value
        if failure and failure.is_wrong_request:
            print(f"peft-run: {failure.reason}", file=sys.stderr)
        return exit_code([failure])
    batches = hydra.multirun("config", attempt, [*flags.overrides, "hydra.mode=MULTIRUN"])
    jobs = [job for batch in batches for job in batch]
    failed = [job for job in jobs if job.return_value]
    if failed:
        print(f"{len(failed)} of {len(jobs)} runs failed:", file=sys.stderr)
    for job in failed:
        log = f"\n    printed: {job.return_value.log}" if job.return_value.log else ""
        print(f"  {repeat_command(job.overrides)}\n    {job.return_value.reason}{log}", file=sys.stderr)
    return exit_code([job.return_value for job in jobs])


@dataclass(frozen=True)
class Attempt:
    """A task as Hydra's launchers call it: returns how it failed, if it did."""

    task: Task
    request: Request
    complete: Complete

    def __call__(self, cfg: DictConfig) -> Failure | None:
        """Run the task; unless the request was wrong, the traceback is printed."""
        import traceback

        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        try:
            self.task(cfg, {group: hydra.runtime.choices[group] for group in groups()}, list(hydra.overrides.task))
        except (Exception, SystemExit) as error:  # one run of a sweep does not end the others
            failure = failure_of(error)
            if not failure.is_wrong_request:
                traceback.print_exception(error)
            return failure
        return None


def exit_code(failures: list[Failure | None]) -> int:
    """Return 0 if no run failed, 2 if each was a wrong request, or else 1."""
    if not any(failures):
        return 0
    return 2 if all(failure and failure.is_wrong_request for failure in failures) else 1


def explain(error: BaseException) -> str:
    """Return what went wrong before a run started, in one line, without Hydra's search paths."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException) and error.options:
        return f"there is no {error.missing_cfg_file}; {listed('there are', '', error.options)}"
    return sentence(error)


def page() -> str:
    """Return what --help prints, from the files in conf/ and experiments/."""
    lines = [PURPOSE, "Groups (group=option; * is the default)"]
    for group, default in groups().items():
        lines += [
            f"{group}=",
            *rows((f"{' *'[name == default]} {name}", text) for name, text in options(group).items()),
        ]
    lines += ["", "Experiments (peft-run -m +experiment=name)"]
    lines += [*rows((f"  {name}", text) for name, text in options("experiment").items())] or ["  none"]
    lines += ["", "Keys (key=value; a key of a group as in method.lr=0.003)"]
    keys = re.findall(r"^(\w+): (\S+) # (.+)$", config_text(), re.MULTILINE)
    lines += [*rows((f"  {key}={value}", text) for key, value, text in keys)]
    return "\n".join([*lines, "", MORE])


def rows(table: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield lines of at most 100 columns with a name and its explanation."""
    from textwrap import fill

    for name, text in table:
        yield fill(text, 100, initial_indent=f"{name:<19} ", subsequent_indent=" " * 20, break_on_hyphens=False)


def version() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return f"peft-run {installed('peft-cli')}"
    except PackageNotFoundError:
        return "peft-run, a checkout that is not installed"
