"""CSV: one row for each run, with its folder and every field of its result; null is empty, a list is JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import StringIO

from peft_cli.report.document import Section
from peft_cli.report.runs import Run

SUFFIX = ".csv"
TELLS = "one row for each run"


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """All runs; what the sections make of them stands in other formats."""
    found = dict.fromkeys(name for run in runs for name in run.fields)
    parents = {name.rpartition(".")[0] for name in found}  # "training" is null where others have "training.steps"
    names = [name for name in found if name not in parents]
    file = StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["folder", *names])
    for run in runs:
        values = (run.fields.get(name) for name in names)
        writer.writerow([run.folder, *(json.dumps(value) if isinstance(value, list) else value for value in values)])
    return file.getvalue()
