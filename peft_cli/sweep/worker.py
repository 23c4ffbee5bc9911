"""The process of one run of a sweep: its output goes to a file, and it ends when the process that started it does."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import NoReturn

from peft_cli.run_folder.files import make_folder, open_to_append
from peft_cli.run_folder.lock import LOCK_LOST, AlreadyRunning
from peft_cli.run_folder.result import OUTPUT
from peft_cli.run_folder.signals import Stopped
from peft_cli.sweep import Run, Task

STOPPED = 74  # exit code of a run that a signal stopped, and that can go on


def work(task: Task, run: Run, environment: Mapping[str, str]) -> NoReturn:
    """Does a run and exits: 0 with its result, 1 with its error.json, STOPPED, or LOCK_LOST to another process."""
    join_sweep(environment)
    try:
        redirect(run)
        task(run.config, run.choices, run.overrides)
    except AlreadyRunning as error:
        print(f"peft-run: {error}", file=sys.stderr)
        sys.exit(LOCK_LOST)
    except (Stopped, KeyboardInterrupt) as stop:
        print(f"peft-run: {stop or 'stopped before its first step'}", file=sys.stderr)
        sys.exit(STOPPED)
    except (Exception, SystemExit) as error:
        report_error(run, error)
        sys.exit(1)
    sys.exit(0)


def join_sweep(environment: Mapping[str, str]) -> None:
    """Gives the process its share of the machine, and lets it end with the sweep."""
    os.setsid()  # Ctrl-C reaches the sweep's own process, which then signals this one
    os.environ.update(environment)
    threading.Thread(target=end_with_parent, daemon=True).start()
    limit_threads()


def redirect(run: Run) -> None:
    """Appends all that the process prints, its last words in a crash too, to a file in the run's folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    make_folder(run.folder.path)
    with open_to_append(run.folder.path / OUTPUT) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    faulthandler.enable()


def end_with_parent() -> None:
    """Stops the run, as Ctrl-C does, when the process that started it is gone."""
    if parent := parent_process():
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)


def limit_threads() -> None:
    """Gives torch the run's share of threads, where it was imported before the environment was set."""
    if "torch" in sys.modules and "OMP_NUM_THREADS" in os.environ:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def report_error(run: Run, error: BaseException) -> None:
    """Prints an exception, and writes error.json where the task has not."""
    traceback.print_exception(error)
    if run.folder.failure() is None:
        run.folder.fail(error, run.overrides)
