"""Prints which deleted or negated statements no test notices, trying one at a time: `make mutants`.

A first run under coverage records which test runs which line. Each mutant of a file is written into a copy of the tree,
and the tests that run its lines are run there; the working tree is never changed. Results are kept in .mutants/, so
that an interrupted run can be continued: a killed mutant stays killed while its file is the same, and a survivor is
tried again when a test or a source changes.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.mutations import Mutant, mutants

ROOT = Path(__file__).parents[1]
NAMES = ("train.py", "evaluate.py", "cost.py", "data/__init__.py", "run_folder/*.py")
SLOWER = 4  # a mutant's tests may take so many times as long as they took unchanged
FORK = multiprocessing.get_context(
    "forkserver"
)  # its processes share what is imported before them, which takes seconds
SHARED = ("tests.conftest", "hypothesis", *(plugin.module for plugin in entry_points(group="pytest11")))


class Record:
    """A pytest plugin that writes down the tests that passed, with their seconds."""

    def __init__(self, path: Path):
        self.path, self.seconds, self.others = path, dict[str, float](), set[str]()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Adds the seconds of one phase of a test."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self.others.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Writes the file."""
        self.path.write_text(json.dumps({name: n for name, n in self.seconds.items() if name not in self.others}))


def run_pytest(tree: Path, arguments: Sequence[str], record: Path | None) -> None:
    """Ends this process with pytest's exit code for the tests of a copy of the tree."""
    import pytest

    os.setsid()
    os.chdir(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "peft_cli")]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry and Path(entry) != ROOT)]
    sys.dont_write_bytecode = True  # a mutant may have the size and the second of the one before
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    log = os.open(tree.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    fixed = ["-p", "no:cacheprovider", "--assert=plain", f"--basetemp={tree.with_suffix('.tmp')}"]
    os._exit(pytest.main([*fixed, *arguments], plugins=[Record(record)] if record else []))


def exit_code(tree: Path, arguments: Sequence[str], seconds: float | None = None, record: Path | None = None) -> Any:
    """pytest's exit code in a copy of the tree; None where it takes longer than `seconds`."""
    process = FORK.Process(target=run_pytest, args=(tree, arguments, record))
    process.start()
    process.join(seconds)
    code = process.exitcode
    with suppress(ProcessLookupError):  # a mutant may leave processes behind
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    return code


def copied(root: Path, tree: Path) -> Path:
    """`tree` with the files of `root` that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)
    return tree


class Trial:
    """Tries mutants in copies of a tree, and keeps what it learns in a folder."""

    def __init__(self, root: Path, folder: Path, scratch: Path, jobs: int, tests: Sequence[str]):
        self.folder, self.free = folder.absolute(), SimpleQueue[Path]()
        self.folder.mkdir(exist_ok=True)
        trees = [copied(root, scratch / f"tree{i}") for i in range(jobs)]
        for tree in trees:
            self.free.put(tree)
        sources = [*sorted(trees[0].rglob("*.py")), *sorted(trees[0].rglob("*.yaml"))]
        content = b"".join(path.read_bytes() for path in sources) + "\n".join(tests).encode()
        self.state = self.read_state(hashlib.sha256(content).hexdigest())
        if not self.state["seconds"]:
            self.run_all(trees[0], tests)

    def read_state(self, digest: str) -> dict[str, Any]:
        """What is known of the tree with this hash; of another tree, the mutants that were killed."""
        path = self.folder / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {"digest": None, "results": {}}
        if state["digest"] == digest:
            return state
        killed = {key: result for key, result in state["results"].items() if result in ("killed", "timed out")}
        return {"digest": digest, "seconds": {}, "start_seconds": 0.0, "results": killed}

    def run_all(self, tree: Path, tests: Sequence[str]) -> None:
        """Runs the tests of the unchanged tree, and records which lines each of them runs."""
        print("running the tests under coverage", file=sys.stderr)
        os.environ["COVERAGE_FILE"] = str(self.folder / "coverage")
        measured = ["--cov=peft_cli", "--cov-context=test", "--cov-report=", "--continue-on-collection-errors"]
        passed = self.folder / "passed.json"
        exit_code(tree, [*measured, *tests], record=passed)
        seconds = self.state["seconds"] = json.loads(passed.read_text())
        print(*tree.with_suffix(".log").read_text().splitlines()[-1:], file=sys.stderr)
        begin = time.perf_counter()
        if not seconds or exit_code(tree, [min(seconds, key=seconds.__getitem__)]) != 0:
            raise SystemExit(f"the tests of the unchanged tree fail:\n{tree.with_suffix('.log').read_text()}")
        self.state["start_seconds"] = time.perf_counter() - begin

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The passed tests that run a line of the mutant, those of its own file and the fast ones first.

        A fixture counts for all tests of its file. Where no test's own process runs the line, all tests of the package
        are taken, which may run it in processes that they start.
        """
        from coverage import CoverageData

        data = CoverageData(str(self.folder / "coverage"))
        data.read()
        by_line, (*above, name) = data.contexts_by_lineno(mutant.path), Path(mutant.path).parts[1:]
        contexts = {context for line in mutant.lines for context in by_line.get(line, []) if context}
        runs = {context.removesuffix("|run") for context in contexts if context.endswith("|run")}
        files = {context.partition("::")[0] for context in contexts if not context.endswith("|run")}
        mirror = "/".join(["tests", *above, "test_" + name])
        package = "/".join(["tests", *above, ""]) if above else mirror

        def is_wanted(test: str) -> bool:
            return test in runs or test.partition("::")[0] in files or (not contexts and test.startswith(package))

        seconds = self.state["seconds"]
        return sorted(filter(is_wanted, seconds), key=lambda test: (not test.startswith(mirror), seconds[test]))

    def try_out(self, mutant: Mutant) -> str:
        """Whether the mutant was killed, timed out, survived, or has no test."""
        if not (tests := self.tests_of(mutant)):
            return "no test"
        limit = SLOWER * (self.state["start_seconds"] + sum(self.state["seconds"][test] for test in tests))
        tree = self.free.get()
        tree.with_suffix(".txt").write_text("\n".join(tests))
        before = (tree / mutant.path).read_bytes()
        (tree / mutant.path).write_text(mutant.text, encoding="utf-8")
        code = exit_code(tree, ["-x", f"@{tree.with_suffix('.txt')}"], limit)
        (tree / mutant.path).write_bytes(before)
        self.free.put(tree)
        return "timed out" if code is None else "killed" if code else "survived"

    def result(self, mutant: Mutant) -> str:
        """The same, from an earlier trial where there is one."""
        results = self.state["results"]
        if mutant.key not in results:
            results[mutant.key] = self.try_out(mutant)
            print(f"{results[mutant.key]:>9}  {mutant}", file=sys.stderr)
        return results[mutant.key]

    def save(self) -> None:
        """Writes down what is known."""
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(self.state))
        partial.replace(self.folder / "state.json")


def changed_lines(root: Path, path: str, since: str) -> set[int]:
    """The lines of a file that differ from a revision."""
    command = ["git", "diff", "--unified=0", since, "--", path]
    diff = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    hunks = re.findall(r"^@@ \S+ \+(\d+)(?:,(\d+))? @@", diff, flags=re.MULTILINE)
    return {line for start, n in hunks for line in range(int(start), int(start) + int(n or 1))}


def selected(root: Path, options: argparse.Namespace) -> list[Mutant]:
    """The mutants of the files and lines that are asked for, in the order of the lines."""
    paths = sorted({str(path.relative_to(root)) for name in options.files for path in root.glob(name)})
    if not paths:
        raise SystemExit(f"--files {' '.join(options.files)} matches no file")
    first, _, last = (options.lines or "").partition("-")
    chosen = []
    for path in paths:
        source = (root / path).read_text(encoding="utf-8")
        lines = set(range(1, source.count("\n") + 2))
        if options.lines:
            lines &= set(range(int(first), int(last or first) + 1))
        if options.since:
            lines &= changed_lines(root, path, options.since)
        chosen += sorted(
            (own for own in mutants(path, source) if lines & {*own.lines}), key=lambda own: own.lines.start
        )
    return chosen


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """Tries the mutants, and prints those that no test notices."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    default = [f"peft_cli/{name}" for name in NAMES]
    parser.add_argument("--files", nargs="+", default=default, help="files or patterns, from the root of the tree")
    parser.add_argument("--lines", metavar="FIRST-LAST", help="only mutants of these lines")
    parser.add_argument("--since", metavar="REVISION", help="only mutants of lines changed since this revision of git")
    parser.add_argument("--tests", nargs="+", default=[], help="tests that may kill a mutant; all, if not given")
    parser.add_argument("--state", type=Path, default=root / ".mutants", help="the folder of results")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants tried at a time")
    options = parser.parse_args(arguments)
    chosen = selected(root, options)
    FORK.set_forkserver_preload([*SHARED])
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trial = Trial(root, options.state, Path(scratch), options.jobs, options.tests)
        pool = ThreadPoolExecutor(options.jobs)
        try:
            results = []
            for result in pool.map(trial.result, chosen):
                results.append(result)
                trial.save()
        finally:
            pool.shutdown(cancel_futures=True)
            trial.save()
    for mutant, result in zip(chosen, results, strict=True):
        if result in ("survived", "no test"):
            print(f"{mutant}" + (" (no test runs it)" if result == "no test" else ""))
    counts = ", ".join(f"{results.count(name)} {name}" for name in ("killed", "timed out", "survived", "no test"))
    print(f"{len(results)} mutants: {counts}")


if __name__ == "__main__":
    main()
