"""The folder that a run leaves behind: its configuration, log, predictions, tensors, and `result.json` last of all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from peft_cli.data import Example
from peft_cli.run_folder.failure import Failure, failure_of, repeat_command
from peft_cli.run_folder.files import (
    make_folder,
    one_line,
    open_regular,
    open_to_append,
    read_json,
    replace_file,
    warn_once,
)
from peft_cli.run_folder.partial_predictions import PartialPredictions

CANNOT_CHANGE_A_RESULT = (
    *("runs", "wandb", "data.root", "backbone.device", "train.checkpoint_seconds"),
    *("train.cache_gb", "train.checkpointing", "train.compile"),
    *("jobs", "jobs_per_gpu", "retry", "plan", "plugins", "config_dirs"),
)
UNTOUCHED = "untouched"  # in place of a method with shots=0
SEEDS = ("seed", "data_seed")
UNUSED_WITHOUT_SHOTS = ("method", "train", "seed", "data_seed", "draw", "validation")
OUTPUT = "output.log"  # what a run of a sweep printed
OUTPUT_BYTES = 20_000  # of its end, in error.json
LONGEST_REASON = 2_000  # characters of an error
ONLY_UNTIL_FINISHED = ("error.json", "checkpoint.pt", "predictions.partial.jsonl", "slurm.json")


class RunFolder:
    """One run's folder. A folder with a result.json is complete: that file is written last, and at once."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return self.read("result.json") is not None

    def result(self) -> dict[str, Any]:
        """Returns the result of a finished run; raises FileNotFoundError without one, ValueError where it is broken."""
        return read_json(self.path / "result.json")

    def failure(self) -> Failure | None:
        """Returns how the run failed; None where it has not."""
        error = self.read("error.json")
        if error is None:
            return None
        reason, log = error.get("error"), error.get("log")
        if not isinstance(reason, str):
            warn_once(f"{self.path / 'error.json'} names no error; the run is done again")
            return None
        is_wrong_request = error.get("is_wrong_request") is True
        return Failure(one_line(reason)[:LONGEST_REASON], is_wrong_request, one_line(log) if log else None)

    def read(self, name: str) -> dict[str, Any] | None:
        """Returns the object in a JSON file; None without one, and after a warning where it is broken."""
        content: dict[str, Any] | None = None
        try:
            content = read_json(self.path / name)
        except (FileNotFoundError, NotADirectoryError):
            pass  # a file in the place of the folder is no run either
        except (ValueError, IsADirectoryError) as error:
            warn_once(f"{error}; it counts as absent, and the run is done again")
        return content

    def open(self, config: Mapping[str, Any], goes_on: bool) -> None:
        """Makes the folder for a run that starts from nothing, or that `goes_on` with its log and checkpoint."""
        make_folder(self.path)
        (self.path / "error.json").unlink(missing_ok=True)
        if not goes_on:
            with replace_file(self.path / "log.jsonl"):
                pass  # an empty log
        with replace_file(self.path / "config.yaml") as file:
            file.write(yaml.safe_dump(dict(config), sort_keys=False))

    def log(self, row: dict[str, Any]) -> None:
        """Adds a line to log.jsonl."""
        with open_to_append(self.path / "log.jsonl") as file:
            file.write(json.dumps(finite(row)) + "\n")

    def write_predictions(
        self, examples: Sequence[Example], texts: Sequence[str], scores: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Writes predictions.jsonl: id, source, prediction and references of each example, and its own scores."""
        rows = (
            {"id": e.id, "source": e.source, "prediction": text, "references": e.references}
            | ({"scores": finite(dict(own))} if own else {})
            for e, text, own in zip(examples, texts, scores or [{}] * len(texts), strict=True)
        )
        with replace_file(self.path / "predictions.jsonl") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def write_tensors(self, tensors: Mapping[str, Any]) -> int:
        """Writes what the method stores for a task as method.safetensors; returns the size of the file in bytes."""
        from safetensors.torch import save

        content: bytes = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        with replace_file(self.path / "method.safetensors", "wb") as file:
            file.write(content)
        return len(content)

    def partial_predictions(self, made_of: Mapping[str, str]) -> PartialPredictions:
        """Returns the predictions that an earlier process made with the same tensors, backbone and data.

        `made_of` has the hashes of backbone and data; method.safetensors has the tensors.
        """
        digest = hashlib.sha256((self.path / "method.safetensors").read_bytes()).hexdigest()
        return PartialPredictions(self.path / "predictions.partial.jsonl", {**made_of, "tensors": digest})

    def finish(self, result: dict[str, Any]) -> None:
        """Writes result.json, at once: a reader sees all of it or none. Then removes what only a run needs."""
        self.write("result.json", result)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Removes what a finished run needs no more, and what killed processes were writing."""
        for path in [*(self.path / name for name in ONLY_UNTIL_FINISHED), *self.path.glob(".*.partial")]:
            with suppress(OSError):  # a folder that cannot be changed keeps them; the result stands
                path.unlink()

    def fail(self, error: BaseException, overrides: list[str]) -> None:
        """Writes error.json for an exception of the run with some overrides."""
        trace = "".join(traceback.format_exception(error))
        self.write_error(failure_of(error), trace, repeat_command(overrides))

    def write_error(self, failure: Failure, trace: str, command: str) -> None:
        """Writes error.json: what happened, where, the file of what was printed, and the command that repeats it."""
        make_folder(self.path)
        log = self.path / OUTPUT
        content = {"error": failure.reason, "is_wrong_request": failure.is_wrong_request, "command": command}
        self.write("error.json", content | {"log": str(log) if log.exists() else None, "traceback": trace})

    def output_end(self) -> str:
        """Returns the end of what a run of a sweep printed."""
        try:
            with open_regular(self.path / OUTPUT) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - OUTPUT_BYTES))
                return file.read(OUTPUT_BYTES).decode(errors="replace")
        except (OSError, ValueError):
            return ""

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file."""
        with replace_file(self.path / name) as file:
            json.dump(finite(content), file, indent=1, ensure_ascii=False)


def folder_of(config: Mapping[str, Any], choices: Mapping[str, str]) -> RunFolder:
    """Returns the folder of the run of `config`: <runs>/<data>/<backbone>/<method>/shots=<k>,seed=<s>-<hash>.

    The hash is over the configuration without what cannot change a result, so the same experiment is the same folder
    whatever words asked for it. With shots=0 nothing trains, and all methods and seeds are one run. Raises ValueError
    where `runs` is no path, or a name would lead out of it.
    """
    ignored = CANNOT_CHANGE_A_RESULT + (UNUSED_WITHOUT_SHOTS if config["shots"] == 0 else ())
    method = UNTOUCHED if config["shots"] == 0 else choices["method"]
    shots = "all" if config["shots"] is None else config["shots"]
    seed = "" if config["shots"] == 0 else f",seed={config['seed']}"
    text = json.dumps(without(config, ignored), sort_keys=True)
    name = f"shots={shots}{seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    below = Path(choices["data"], choices["backbone"], method, name)
    if not isinstance(config["runs"], str) or not config["runs"]:
        raise ValueError(f"runs={config['runs'] or 'null'} is not possible: it has to be the path of a folder")
    if below.is_absolute() or ".." in below.parts:
        raise ValueError(f"{below} cannot be the name of a run, as it leads out of runs={config['runs']}")
    return RunFolder(Path(config["runs"]) / below)


def without(config: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Returns `config` without `keys`, of which "a.b" is b inside a."""
    rest = deepcopy(dict(config))
    for key in keys:
        *parents, last = key.split(".")
        inner: Any = rest
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(last, None)
    return rest


def finite(value: Any) -> Any:
    """Returns `value` with null for every number that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
