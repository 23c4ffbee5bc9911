"""All finished runs as one table, for a notebook."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_cli.run_folder.discovery import read_results
from peft_cli.run_folder.files import one_line

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("data", "backbone", "method", "shots", "seed", "data_seed", "test_limit")
SECTIONS = ("scores", "cost", "training", "config")
MOST_VALUES = 2_000  # of one run; its configuration has a tenth of that
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def read_runs(*folders: str | Path) -> pd.DataFrame:
    """Returns a table with a row for each finished run below some folders.

    Its columns are the names of a run (data, backbone, method, shots, seed, data_seed, test_limit), its scores, costs,
    training and configuration with their keys joined by dots (scores.bleu, cost.params_trained, training.best_step,
    config.method.lr), and the path of its folder. A value that a run lacks is missing, and shots=null is too: it
    stands for all examples. A list is a tuple.

    Runs that are not finished are left out; so is a result that cannot be read, with a warning that names its file.
    Raises ValueError where a folder is absent or none is named.
    """
    import pandas as pd

    if not folders:
        raise ValueError("read_runs needs a folder of runs, as in read_runs('runs')")
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for folder, result in read_results(*map(Path, folders), warn=problems.append):
        try:
            rows.append({**row(result), "folder": str(folder)})
        except MALFORMED as error:
            problems.append(one_line(f"{folder / 'result.json'} is no result of a run ({error}); the run is left out"))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    table = pd.DataFrame(rows, columns=None if rows else [*NAMES, "folder"])
    order = {name: n for n, name in enumerate(("", *SECTIONS))}
    columns = [name for name in table.columns if name != "folder"]
    return table[[*sorted(columns, key=lambda name: order.get(name.partition(".")[0], 0)), "folder"]]


def row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of one result; raises one of MALFORMED where a table cannot have it."""
    names = {name: result["run"].get(name) for name in NAMES}
    for name in ("data", "backbone", "method"):
        if not isinstance(names[name], str):
            raise ValueError(f"run.{name} is no text")
    if not isinstance(result["scores"], dict):
        raise ValueError("scores is no object")
    sections = {name: section for name in SECTIONS if isinstance(section := result.get(name), dict)}
    values = {**names, **flat(sections)}
    if len(values) > MOST_VALUES:
        raise ValueError(f"it has {len(values)} values")
    for name, value in values.items():
        if isinstance(value, float | int) and not abs(value) < 2**63:
            raise ValueError(f"{name} is no finite number")
        if name.startswith("scores.") and not isinstance(value, float | int | None):
            raise ValueError(f"{name} is no number")
    return values


def flat(node: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Returns each value inside nested mappings by its dotted name."""
    values: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            values |= flat(value, f"{path}{key}.")
        else:
            values[f"{path}{key}"] = as_tuple(value) if isinstance(value, list) else value
    return values


def as_tuple(value: Any) -> Any:
    """Returns a value with tuples for lists, so that rows can be grouped by it."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value
