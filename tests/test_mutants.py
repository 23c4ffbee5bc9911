"""The search for statements that no test notices, on a tree of one file and one test."""

import subprocess
from pathlib import Path

import pytest

from tests.mutants import SHARED, changed_lines, main
from tests.mutations import mutants

SOURCE = '''"""A module."""


def wrap(value: float) -> float:
    """`value` between 0 and 1."""
    if value > 1:
        return 1.0
    while value < 0:
        value += 1.0
    return value
'''
TESTS = """from peft_cli.train import wrap

def test_a_negative_value_is_moved_up():
    assert wrap(-0.5) == 0.5

def test_that_fails():
    assert wrap(0) == 1
"""
TREE = {
    "peft_cli/__init__.py": "",
    "peft_cli/train.py": SOURCE,
    "tests/test_train.py": TESTS,
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-q --import-mode=importlib"\n'
    "[tool.coverage.run]\nrelative_files = true\n",
}


def changes(body: str) -> list[str]:
    """The changes of a function with this body."""
    return [mutant.change for mutant in mutants("f.py", f"def f(a, b, c=True):\n    {body}\n")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a.step()", ["without `a.step()`"]),
        ("'A docstring.'", []),
        ("x: int", []),
        ("return a < b", ["without `return a < b`", "as `return a <= b`", "as `return a >= b`"]),
        ("return a and b", ["without `return a and b`", "as `return b`", "as `return a`"]),
        ("a(not b, c=False)", ["without `a(not b, c=False)`", "as `a(b, c=False)`", "as `a(not b, c=True)`"]),
        ("zip(a, b, strict=True)", ["without `zip(a, b, strict=True)`"]),
        ("with a: b()", ["without `with a:` and its body", "without `with a:`", "without `b()`"]),
        ("if a: b()", ["without `if a:`", "as `if not a:`", "without `b()`"]),
        ("f'{a == b}'", ["without `f'{a == b}'`"]),
    ],
)
def test_a_statement_is_deleted_and_a_condition_negated(body, expected):
    assert changes(body) == expected


def test_a_mutant_has_one_change():
    (mutant,) = [own for own in mutants("f.py", SOURCE) if own.change == "without `value += 1.0`"]
    assert mutant.text.count("pass") == 1 and "while value < 0" in mutant.text and mutant.lines == range(9, 10)


def test_code_outside_functions_and_types_stay():
    assert not list(
        mutants("f.py", "import a\nx = a == 1\nclass A:\n    y: bool = True\n    def f(self, a: 1 == 1): ...")
    )


@pytest.fixture
def tree(tmp_path) -> Path:
    """A repository of one file, and one test that passes."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_survivors_are_printed_and_results_kept(tree, monkeypatch, capsys):
    monkeypatch.setattr("tests.mutants.SHARED", SHARED[1:])
    main(["--files", "peft_cli/*.py", "--lines", "8-9"], tree)
    first = capsys.readouterr()
    assert first.out.splitlines() == [
        "peft_cli/train.py:8: as `while value <= 0:`",
        "4 mutants: 2 killed, 1 timed out, 1 survived, 0 no test",
    ]
    assert (tree / "peft_cli" / "train.py").read_text() == SOURCE
    main(["--files", "peft_cli/train.py", "--lines", "7-9"], tree)
    again = capsys.readouterr()
    assert (
        again.err.splitlines() == [" survived  peft_cli/train.py:7: without `return 1.0`"] and "5 mutants" in again.out
    )


def test_the_lines_changed_since_a_revision_are_known(tree):
    (tree / "peft_cli" / "train.py").write_text(SOURCE.replace("value += 1.0", "value += 2.0"))
    assert changed_lines(tree, "peft_cli/train.py", "HEAD") == {9}
