"""The folder that a run leaves behind: its configuration, log, predictions, tensors, and `result.json` last of all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from peft_cli.data import Example

CANNOT_CHANGE_A_RESULT = ("runs", "wandb", "data.root", "backbone.device")
UNTOUCHED = "untouched"  # in place of a method with shots=0
SEEDS = ("seed", "data_seed")
UNUSED_WITHOUT_SHOTS = ("method", "train", "seed", "data_seed", "draw", "validation")


class RunFolder:
    """One run's folder. A folder with a result.json is complete: that file is written last, and at once."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / "result.json").exists()

    def open(self, config: Mapping) -> None:
        """Makes the folder for a run that starts from nothing, with its configuration in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "error.json").unlink(missing_ok=True)
        (self.path / "log.jsonl").write_text("")
        (self.path / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")

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
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (self.path / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")

    def write_tensors(self, tensors: Mapping[str, Any]) -> int:
        """Writes what the method stores for a task as method.safetensors; returns the size of the file in bytes."""
        from safetensors.torch import save_file

        path = self.path / "method.safetensors"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
        return path.stat().st_size

    def finish(self, result: dict) -> None:
        """Writes result.json, at once: whoever looks sees all of it or none."""
        self.replace("result.json", result)

    def fail(self, error: BaseException, command: str) -> None:
        """Writes error.json: what happened, where, and the command that repeats it."""
        self.path.mkdir(parents=True, exist_ok=True)
        trace = "".join(traceback.format_exception(error))
        self.replace(
            "error.json", {"error": f"{type(error).__name__}: {error}", "command": command, "traceback": trace}
        )

    def replace(self, name: str, content: dict) -> None:
        """Writes a JSON file beside its place and then moves it there."""
        partial = self.path / f".{name}.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump(finite(content), file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / name)


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
