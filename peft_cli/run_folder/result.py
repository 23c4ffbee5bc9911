"""The folder that a run leaves behind: its configuration, log, predictions, tensors, and `result.json` last of all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import IO, Any

import yaml

from peft_cli.data import Example

CANNOT_CHANGE_A_RESULT = (
    *("runs", "wandb", "data.root", "backbone.device", "train.checkpoint_seconds"),
    *("train.cache_gb", "train.checkpointing", "train.compile"),
    *("jobs", "jobs_per_gpu", "retry", "plan", "plugins", "config_dirs"),
)
UNTOUCHED = "untouched"  # in place of a method with shots=0
SEEDS = ("seed", "data_seed")
UNUSED_WITHOUT_SHOTS = ("method", "train", "seed", "data_seed", "draw", "validation")
OUTPUT = "output.log"  # what a run of a sweep printed
PRINTED_CHARACTERS = 20_000  # of which error.json has the end
ONLY_UNTIL_FINISHED = ("error.json", "checkpoint.pt", "predictions.partial.jsonl", "slurm.json")


class RunFolder:
    """One run's folder. A folder with a result.json is complete: that file is written last, and at once."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / "result.json").exists()

    def open(self, config: Mapping, goes_on: bool) -> None:
        """Makes the folder for a run that starts from nothing, or that `goes_on` with the log it has."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "error.json").unlink(missing_ok=True)
        if not goes_on:
            (self.path / "log.jsonl").write_text("")
        with self.replacing("config.yaml") as file:
            file.write(yaml.safe_dump(dict(config), sort_keys=False))

    def log(self, row: dict) -> None:
        """Adds a line to log.jsonl."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(row)) + "\n")

    def write_predictions(
        self, examples: Sequence[Example], texts: Sequence[str], scores: Sequence[Mapping] | None = None
    ) -> None:
        """Writes predictions.jsonl: id, source, prediction and references of each example, and its own scores."""
        rows = (
            {"id": e.id, "source": e.source, "prediction": text, "references": e.references}
            | ({"scores": finite(dict(own))} if own else {})
            for e, text, own in zip(examples, texts, scores or [{}] * len(texts), strict=True)
        )
        with self.replacing("predictions.jsonl") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def write_tensors(self, tensors: Mapping[str, Any]) -> int:
        """Writes what the method stores for a task as method.safetensors; returns the size of the file in bytes."""
        from safetensors.torch import save

        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        with self.replacing("method.safetensors", "wb") as file:
            file.write(content)
        return len(content)

    def partial_predictions(self) -> PartialPredictions:
        """The predictions that were made at an earlier time with the very tensors that method.safetensors has."""
        digest = hashlib.sha256((self.path / "method.safetensors").read_bytes()).hexdigest()
        return PartialPredictions(self.path / "predictions.partial.jsonl", digest)

    def finish(self, result: dict) -> None:
        """Writes result.json, at once: whoever looks sees all of it or none. What only an unfinished run needs goes."""
        self.write("result.json", result)
        self.tidy()

    def tidy(self) -> None:
        """Removes what a finished run needs no more, and what killed processes were writing."""
        for path in [*(self.path / name for name in ONLY_UNTIL_FINISHED), *self.path.glob(".*.partial")]:
            path.unlink(missing_ok=True)

    def fail(self, error: BaseException, reason: str, is_wrong_request: bool, command: str) -> None:
        """Writes error.json for an exception."""
        self.write_error(reason, is_wrong_request, "".join(traceback.format_exception(error)), command)

    def write_error(self, reason: str, is_wrong_request: bool, trace: str, command: str) -> None:
        """Writes error.json: what happened, where, what was printed, and the command that repeats it."""
        self.path.mkdir(parents=True, exist_ok=True)
        log = self.path / OUTPUT
        content = {"error": reason, "is_wrong_request": is_wrong_request, "command": command}
        self.write("error.json", content | {"log": str(log) if log.exists() else None, "traceback": trace})

    def printed(self) -> str:
        """The end of what a run of a sweep printed."""
        path = self.path / OUTPUT
        if not path.exists():
            return ""
        return path.read_text(encoding="utf-8", errors="replace")[-PRINTED_CHARACTERS:]

    def error(self) -> dict | None:
        """What error.json says; None where the run has not failed."""
        try:
            return json.loads((self.path / "error.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: dict) -> None:
        """Writes a JSON file."""
        with self.replacing(name) as file:
            json.dump(finite(content), file, indent=1, ensure_ascii=False)

    @contextmanager
    def replacing(self, name: str, mode: str = "w") -> Iterator[IO]:
        """A file that is written beside its place, down to the disk, and then moved there."""
        partial = self.path / f".{name}.partial"
        with partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / name)


class PartialPredictions:
    """What was predicted so far, a line for each batch; worth something to the bit-identical tensors alone."""

    def __init__(self, path: Path, digest: str):
        self.path, self.texts, self.seconds = path, {}, 0.0
        head = json.dumps({"tensors": digest}) + "\n"
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = kept[: kept.rfind("\n") + 1]  # a line that was being written when the run was killed is none
        if not whole.startswith(head):
            whole = head
        path.write_text(whole, encoding="utf-8")
        for line in whole.split("\n")[1:-1]:
            row = json.loads(line)
            self.texts |= {int(i): text for i, text in row["texts"].items()}
            self.seconds += row["seconds"]

    def add(self, texts: Mapping[int, str], seconds: float) -> None:
        """Writes down a batch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"texts": texts, "seconds": seconds}) + "\n")


def folder_of(config: Mapping, choices: Mapping[str, str]) -> RunFolder:
    """The folder of the run of `config`: <runs>/<data>/<backbone>/<method>/shots=<k>,seed=<s>-<hash>.

    The hash is over the configuration without what cannot change a result, so the same experiment is the same folder
    however its overrides were spelled. With shots=0 nothing trains, and all methods and seeds are one run.
    """
    ignored = CANNOT_CHANGE_A_RESULT + (UNUSED_WITHOUT_SHOTS if config["shots"] == 0 else ())
    method = UNTOUCHED if config["shots"] == 0 else choices["method"]
    shots = "all" if config["shots"] is None else config["shots"]
    seed = "" if config["shots"] == 0 else f",seed={config['seed']}"
    text = json.dumps(without(config, ignored), sort_keys=True)
    name = f"shots={shots}{seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    return RunFolder(Path(config["runs"]) / choices["data"] / choices["backbone"] / method / name)


def without(config: Mapping, keys: Iterable[str]) -> dict:
    """`config` without `keys`, of which "a.b" is b inside a."""
    config = deepcopy(dict(config))
    for key in keys:
        *parents, last = key.split(".")
        inner = config
        for parent in parents:
            inner = inner.get(parent, {})
        inner.pop(last, None)
    return config


def finite(value: Any) -> Any:
    """`value` with null for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_results(runs: Path) -> Iterator[tuple[Path, dict]]:
    """Every finished run below `runs`: its folder and its result.

    Raises ValueError where a result.json cannot be read.
    """
    for path in sorted(runs.glob("**/result.json")):
        try:
            yield path.parent, json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no result of a run ({error}); delete that folder and run it again") from error
