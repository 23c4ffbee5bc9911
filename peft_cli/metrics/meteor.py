"""METEOR 1.5, the program itself (Denkowski and Lavie, 2014, https://aclanthology.org/W14-3348)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import split_words
from peft_cli.metrics.words.jars import missing_packages, run_java

JAR = "meteor/meteor-1.5.jar"
OPTIONS = ("-l", "en", "-norm")


def meteor(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """METEOR in percent. The value for all items comes from all alignments; it is not the mean over items."""
    if reason := missing_packages():
        return Score({"meteor": None}, signature(protocol.words), reason=reason)
    hyps, refs, words = split_words(predictions, references, protocol)
    distinct = [list(dict.fromkeys(map(" ".join, texts))) for texts in refs]
    n_lines = max(map(len, distinct))  # of each item
    padded = [text for texts in distinct for text in texts + [""] * (n_lines - len(texts))]
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("predictions", "references")]
        for path, texts in zip(paths, (map(" ".join, hyps), padded), strict=True):
            path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        printed = run_java("-Xmx2G", "-jar", JAR, *paths, *OPTIONS, "-r", str(n_lines))
    items = [100 * float(value) for value in re.findall(r"^Segment \d+ score:\s+(\S+)$", printed, re.MULTILINE)]
    (final,) = re.findall(r"^Final score:\s+(\S+)$", printed, re.MULTILINE)
    if len(items) != len(hyps):
        raise ChildProcessError(f"METEOR scored {len(items)} of {len(hyps)} items: {printed[-500:]}")
    return Score({"meteor": 100 * float(final)}, signature(words), {"meteor": items})


def signature(words: str) -> str:
    """METEOR's version and options, and the tokenizer of its words."""
    return f"METEOR 1.5|{' '.join(OPTIONS)}|words:{words}"
