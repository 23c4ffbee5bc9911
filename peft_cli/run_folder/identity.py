"""What a run is: its configuration, and the content of the files that its data and its backbone come from."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from peft_cli.config.targets import build
from peft_cli.data import Data
from peft_cli.data.reading.content import content_hashes, fingerprint
from peft_cli.run_folder.result import UNTOUCHED

EMBEDDED = Path(__file__).parents[1] / "embedded"


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with the run folders that its patterns match, and with the content of its data and its backbone.

    Raises ValueError for data that cannot be read, and for a pattern that matches no run, or runs that differ.
    """
    backbone = config["backbone"]
    if config["init_from"] is not None or "*" in backbone["name"]:
        from peft_cli.run_folder.init_from import resolve_runs, resolve_single_run  # they import torch

        backbone = backbone | {"name": resolve_single_run(backbone["name"], "backbone.name")}
        config = config | {"init_from": resolve_runs(config["init_from"]), "backbone": backbone}
    content = {"data": data_content(json.dumps(config["data"])), "backbone": backbone_content(backbone["name"])}
    return config | {"content": content}


@cache
def read_data(section: str) -> Data:
    """The data set of a section of a configuration, which is JSON; read once in a process."""
    data: Data = build(json.loads(section), "data")
    return data


@cache
def data_content(section: str) -> str:
    """The SHA-256 of the texts of all examples of a data set, and of its published draws."""
    data = read_data(section)
    drawn = [example for draws in data.draws.values() for split in draws for example in split]
    return fingerprint([*data.train, *data.validation, *data.test, *drawn])


def backbone_content(name: str) -> str | None:
    """The SHA-256 of a backbone's files, or of what a run stored and its own backbone; None for one of the hub."""
    folder = next((path for path in (EMBEDDED / name, Path(name)) if path.is_dir()), None)
    if folder is None:
        return None
    result, digest = folder / "result.json", hashlib.sha256()
    paths = [folder / "method.safetensors"] if result.is_file() else sorted(folder.iterdir())
    for path in paths:
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path.name} {file_content(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    if result.is_file():
        before = json.loads(result.read_text(encoding="utf-8"))["config"]["backbone"]["name"]
        digest.update(f"{backbone_content(before)}".encode())
    return digest.hexdigest()


@cache
def file_content(path: Path, size: int, changed_at: int) -> str:
    """The SHA-256 of a file, computed once for its size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_names(config: dict[str, Any], choices: dict[str, str]) -> dict[str, Any]:
    """The names of a run in tables."""
    names = choices | ({"method": UNTOUCHED} if config["shots"] == 0 else {})
    return names | {key: config[key] for key in ("shots", "seed", "data_seed", "test_limit")}


def describe_data(data: Data) -> dict[str, Any]:
    """Which examples were drawn, and the hashes of their texts."""
    return {
        "train_ids": [example.id for example in data.train],
        "validation_ids": [example.id for example in data.validation],
        "n_test": len(data.test),
        "labels": list(data.labels),
        **data.notes,
        "sha256": content_hashes(data),
    }
