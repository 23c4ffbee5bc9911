"""peft-run as a user starts it: quickly, and from a shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "peft_cli").rglob("README.md"))]
COMMAND = re.compile(r"^ {4}(?:\$ )?((?:peft-\w+|make) .*)$", re.MULTILINE)
RUN = "runs/mini/tiny-gpt2/spt/shots=50,seed=0-4620c8bb12"
PLACEHOLDER = re.compile(r"<[^<>]+>")  # such as <a run folder>


def commands():
    return [(page, line) for page in PAGES for line in COMMAND.findall(page.read_text(encoding="utf-8"))]


@pytest.fixture
def shell(tmp_path):
    """bash in an empty folder, with the command of this checkout on its path."""
    program = tmp_path / "bin" / "peft-run"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m peft_cli.cli.run "$@"\n')
    program.chmod(0o755)
    (tmp_path / "empty").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def run(line):
        bash = ["bash", "-c", line]
        return subprocess.run(bash, capture_output=True, text=True, cwd=tmp_path / "empty", env=environment)

    return run


def test_every_command_of_the_documents_is_what_bash_reads():
    script = "\n".join(PLACEHOLDER.sub("folder", line) for _, line in commands())
    done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_range_of_seeds_goes_through_bash(shell):
    (line, *_) = [line for _, line in commands() if "range(" in line]
    done = shell(line.partition("#")[0].replace("jobs=2", "plan=true"))
    assert done.returncode == 0 and "30 runs: 30 new" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [
        (
            f"init_from={RUN}",
            "init_from",
            RUN,
        ),
        (r"'method.text=id ${seed}'", "text", "id ${seed}"),
    ],
)
def test_a_value_goes_through_bash_with_no_more_quotes_than_bash_needs(shell, command, key, value):
    done = shell(f"peft-run method=pt {command} --cfg job")
    assert re.search(rf"^ *{key}: (.*)$", done.stdout, re.MULTILINE)[1] == value, done.stderr


def test_help_imports_nothing_of_what_a_run_needs():
    code = (
        "import sys; sys.argv = ['peft-run', '--help']; from peft_cli.cli.run import main; main(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    modules = done.stdout.splitlines()[-1].split()
    assert not {"torch", "hydra", "omegaconf", "pydantic", "peft_cli.run"} & set(modules) and "peft_cli" in modules
