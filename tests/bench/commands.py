"""Rows 12 to 14: what a user waits for at the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from peft_cli.config.compose import composer
from peft_cli.run_folder.identity import complete
from peft_cli.run_folder.result import folder_of
from tests.bench.lines import Line, Settings
from tests.bench.runs import ROOT, peft_run
from tests.bench.timing import in_turn
from tests.report.results import METHODS, SHOTS, study, write_study

FINISHED, STUDY = 100, 10_000  # runs of a sweep, runs of a report
WEIGHED = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""  # a small process between: to Linux a child that starts from a large one was as large


def row_12(settings: Settings) -> list[Line]:
    """Help, when its files have been read before."""
    peft_run("--help")
    line = Line(12, "peft-run --help", at_most=0.5, ratio="ours")
    line.ours = in_turn({"help": lambda: peft_run("--help")}, settings.times(7))["help"]
    return [line]


def row_13(settings: Settings) -> list[Line]:
    """A sweep of which every run has its result."""
    line = Line(13, f"re-running a finished sweep of {FINISHED} runs", at_most=15.0, ratio="ours")
    sweep, told = ["method=pt", f"seed=range(0,{FINISHED})"], []
    with TemporaryDirectory() as place:
        finish(range(FINISHED), f"runs={place}")
        before = files(Path(place))
        again = {"sweep": lambda: told.append(peft_run("-m", *sweep, f"runs={place}").stderr)}
        line.ours = in_turn(again, settings.times(3))["sweep"]
        is_untouched = files(Path(place)) == before
    expected = f"{FINISHED} runs: {FINISHED} finished already, 0 to do"
    if not is_untouched or any(expected not in err for err in told):
        line.failure = f"runs were started: {told[-1].strip()}"
    line.note = "no process is started for a run, and no run's folder is touched"
    return [line]


def finish(seeds: range, runs: str) -> None:
    """Leaves a result where each run of the sweep would."""
    with composer() as compose:
        for seed in seeds:
            run = compose(["method=pt", f"seed={seed}", runs])
            folder = folder_of(complete(run.config), run.choices)
            folder.path.mkdir(parents=True)
            folder.finish({"scores": {"bleu": 1.0}})


def files(folder: Path) -> set[Path]:
    """The files in the folders of runs."""
    return {path for path in folder.rglob("*/shots=*/*") if path.is_file()}


def row_14(settings: Settings) -> list[Line]:
    """Everything that a report has, with figures, of a whole study."""
    n = 100 if settings.tiny else STUDY
    seeds = range(-(-n // (2 * len(METHODS) * len(SHOTS))))
    with TemporaryDirectory() as place:
        results = study(seeds=seeds)
        write_study(Path(place) / "runs", results)
        seconds, peak = zip(*(report(Path(place)) for _ in range(settings.times(2))), strict=True)
    work = f"make report over {len(results):,} runs"
    return [
        Line(14, work, at_most=10.0, ratio="ours", ours=list(seconds)),
        Line(14, f"peak memory of {work}", at_most=1000.0, ratio="ours", unit="MB", ours=list(peak)),
    ]


def report(folder: Path) -> tuple[float, float]:
    """The seconds and the peak megabytes of `peft-report`."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "peft_cli.cli.report", str(folder / "runs"), "--out", str(folder / "report")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, "-c", WEIGHED, *command], env=environment, capture_output=True, text=True)
    if process.returncode != 0:
        raise RuntimeError(f"peft-report ended with exit code {process.returncode}: {process.stderr}")
    return time.perf_counter() - start, int(process.stdout) * 1024 / 1e6
