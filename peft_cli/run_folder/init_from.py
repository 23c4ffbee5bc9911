"""Starting a method from what other runs stored: intermediate tuning, prompt transfer, an average of prompts.

SPoT (Vu et al., 2022, https://aclanthology.org/2022.acl-long.346), intermediate SPT (Hu et al., 2023,
https://arxiv.org/abs/2309.06759) and DePT's transfer (Shi and Lipani, 2024) are all this one step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from peft_cli.run_folder.files import read_json
from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, SEEDS, without
from peft_cli.run_folder.tensors import TENSORS, describe_shapes, read_tensors


class Startable(Protocol):
    """A method, as far as it can start from stored tensors."""

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the tensors that are stored for a task."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Takes over all tensors."""
        ...

    def start_from(self, stored: Mapping[str, Tensor]) -> None:
        """Starts from what another run of the same method stored."""
        ...


def resolve_runs(init_from: str | list[str] | None, key: str = "init_from") -> str | list[str] | None:
    """Returns the run folders that `init_from` names; a pattern with * or ? names all finished runs that it matches.

    Raises ValueError where nothing matches, or where what matches differs in more than its seeds.
    """
    if not isinstance(init_from, str) or not set(init_from) & set("*?"):
        return init_from
    anchor = Path(init_from).anchor
    pattern = f"{init_from.removeprefix(anchor)}/result.json"
    folders = [path.parent for path in sorted(Path(anchor or ".").glob(pattern))]
    if not folders:
        raise ValueError(f"{key}={init_from} matches no folder of a finished run; run its source first")
    differing = more_than_seeds([config_of(folder) for folder in folders])
    if differing:
        raise ValueError(
            f"{key}={init_from} matches {len(folders)} runs that differ in {', '.join(differing)}; "
            "give a narrower pattern, or a list of folders"
        )
    return str(folders[0]) if len(folders) == 1 else list(map(str, folders))


def resolve_single_run(name: str, key: str) -> str:
    """Returns the run folder that a pattern matches, or `name` as it is; raises ValueError where it matches several."""
    folders = resolve_runs(name, key)
    if isinstance(folders, list):
        raise ValueError(f"{key}={name} matches {len(folders)} runs, and has to be one; give a narrower pattern")
    return folders or name


def more_than_seeds(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the sections in which configurations differ, besides the seeds and what cannot change a result."""
    alike = [without(config, (*CANNOT_CHANGE_A_RESULT, *SEEDS)) for config in configs]
    alike = [config | {"init_from": config.get("init_from") is not None} for config in alike]  # a source has its seed
    keys = dict.fromkeys(key for config in alike for key in config)
    return [key for key in keys if any(config.get(key) != alike[0].get(key) for config in alike)]


def start_from(
    method: Startable, init_from: str | list[str] | None, init_tensors: list[str] | None = None
) -> list[dict[str, Any]]:
    """Starts `method` from the tensors that the run folders `init_from` stored, or from the mean of several runs.

    All of the tensors, of runs of the same method; or only `init_tensors`, of runs of any, while the others stay as
    they are. Returns the chain of sources: for each its run, the SHA-256 of its tensors, and its own sources. Raises
    ValueError where a folder is no finished run, or its method or its tensors are not those of `method`.
    """
    folders = [Path(folder) for folder in ([init_from] if isinstance(init_from, str) else init_from or [])]
    if init_tensors is not None and not folders:
        raise ValueError(f"init_tensors={init_tensors} needs init_from, the run to take them from")
    sources = [describe_source(folder) for folder in folders]
    if not folders:
        return sources
    stored = mean([read_tensors(folder) for folder in folders])
    if init_tensors is None:
        for folder in folders:
            check_method(method, folder)
        method.start_from(stored)
    else:
        method.load_state_dict(method.state_dict() | choose_tensors(method, stored, init_tensors))
    return sources


def config_of(folder: Path) -> dict[str, Any]:
    """Returns the configuration of the finished run in a folder; raises ValueError where its result has none."""
    config = read_json(folder / "result.json").get("config")
    if not isinstance(config, dict):
        raise ValueError(f"init_from={folder} has a result without a configuration; it is no run that has trained")
    return config


def check_method(method: Startable, folder: Path) -> None:
    """Raises ValueError unless the run in `folder` is one of the same method."""
    section = config_of(folder).get("method")
    theirs = section.get("_target_") if isinstance(section, dict) else None
    own = f"{type(method).__module__}.{type(method).__qualname__}"
    if theirs != own:
        raise ValueError(
            f"init_from={folder} is a run of {theirs}, and this is {own}; take a run of the same method, "
            "or say with init_tensors which tensors to take"
        )


def choose_tensors(method: Startable, stored: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Returns the tensors `names` of `stored`; raises ValueError where name and shape are not on both sides."""
    own = method.state_dict()
    for name in names:
        shapes = [list(state[name].shape) if name in state else "absent" for state in (stored, own)]
        if "absent" in shapes or shapes[0] != shapes[1]:
            raise ValueError(
                f"init_tensors={name} is {shapes[0]} in the run of init_from and {shapes[1]} in the method; "
                f"they have {describe_shapes(stored)} and {describe_shapes(own)}"
            )
    return {name: stored[name] for name in names}


def describe_source(folder: Path) -> dict[str, Any]:
    """Returns what a result records of a run that another one starts from."""
    path = folder / "result.json"
    if not path.is_file() or not (folder / TENSORS).is_file():
        raise ValueError(f"init_from={folder} is no folder of a finished run; it has to have result.json and {TENSORS}")
    result = read_json(path)
    if not isinstance(result.get("run"), dict):
        raise ValueError(f"{path} does not name its run; delete its folder and run it again")
    digest = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    return {"run": result["run"], "sha256": digest, "sources": result.get("sources", [])}


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of each tensor over `states`; raises ValueError where they are not alike."""
    first = states[0]
    shapes = {name: tensor.shape for name, tensor in first.items()}
    for state in states[1:]:
        if {name: tensor.shape for name, tensor in state.items()} != shapes:
            both = f"{describe_shapes(first)} and {describe_shapes(state)}"
            raise ValueError(f"init_from has runs whose tensors differ: {both}")
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in first}
