"""CSV: one row for each run, with its folder and every field of its result; null is empty, a list is JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from io import StringIO

from peft_cli.report.document import Section
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import printable

SUFFIX = ".csv"
DESCRIPTION = "one row for each run"
FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20].", re.DOTALL)  # what a spreadsheet would compute, in any width


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """Returns all runs; what the sections have of them is in the other formats."""
    fields = dict.fromkeys(name for run in runs for name in run.fields)
    parents = {name.rpartition(".")[0] for name in fields}  # "training" is null where others have "training.steps"
    names = [name for name in fields if name not in parents]
    file = StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(map(as_cell, ["folder", *names]))
    for run in runs:
        writer.writerow([as_cell(str(run.folder)), *(as_cell(run.fields.get(name)) for name in names)])
    return file.getvalue()


def as_cell(value: object) -> object:
    """Returns a value as a spreadsheet shows it: a text that reads as a formula has an apostrophe in front."""
    if isinstance(value, list):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    text = "\n".join(map(printable, value.split("\n")))
    return f"'{text}" if FORMULA.match(text.lstrip(" ")) else text
