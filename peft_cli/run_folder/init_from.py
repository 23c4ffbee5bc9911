"""Starting a method from what other runs stored: intermediate tuning, prompt transfer, an average of prompts.

SPoT (Vu et al., 2022, https://aclanthology.org/2022.acl-long.346), intermediate SPT (Hu et al., 2023,
https://arxiv.org/abs/2309.06759) and DePT's transfer (Shi and Lipani, 2024) are all this one step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from peft_cli.method import Method, describe_shapes
from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, SEEDS, without


def found(init_from: str | list[str] | None, key: str = "init_from") -> str | list[str] | None:
    """The run folders that `init_from` names; a pattern with * or ? stands for all finished runs that it matches.

    Raises ValueError where nothing matches, or where what matches differs in more than its seeds.
    """
    if not isinstance(init_from, str) or not set(init_from) & set("*?"):
        return init_from
    anchor = Path(init_from).anchor
    paths = sorted(Path(anchor or ".").glob(f"{init_from.removeprefix(anchor)}/result.json"))
    if not paths:
        raise ValueError(f"{key}={init_from} matches no folder of a finished run; run its source first")
    differing = more_than_seeds([json.loads(path.read_text(encoding="utf-8"))["config"] for path in paths])
    if differing:
        raise ValueError(
            f"{key}={init_from} matches {len(paths)} runs that differ in {', '.join(differing)}; "
            "give a narrower pattern, or a list of folders"
        )
    folders = [str(path.parent) for path in paths]
    return folders[0] if len(folders) == 1 else folders


def the_one(name: str, key: str) -> str:
    """The run folder that a pattern stands for, or `name` as it is; raises ValueError where it stands for several."""
    folders = found(name, key)
    if not isinstance(folders, str):
        raise ValueError(f"{key}={name} matches {len(folders)} runs, and has to be one; give a narrower pattern")
    return folders


def more_than_seeds(configs: Sequence[dict]) -> list[str]:
    """The sections of configurations that differ, without the seeds and what cannot change a result."""
    alike = [without(config, (*CANNOT_CHANGE_A_RESULT, *SEEDS)) for config in configs]
    alike = [config | {"init_from": config["init_from"] is not None} for config in alike]  # a source has its own seed
    return [key for key in alike[0] if any(config[key] != alike[0][key] for config in alike)]


def start_from(method: Method, init_from: str | list[str] | None, init_tensors: list[str] | None = None) -> list[dict]:
    """Starts `method` from the tensors that the run folders `init_from` stored, or from the mean of several runs.

    All of the tensors, of runs of the same method; or only `init_tensors`, of runs of any, while the others stay as
    they are. Returns the chain of sources: for each its run, the SHA-256 of its tensors, and its own sources. Raises
    ValueError where a folder is no finished run, or its method or its tensors are not those of `method`.
    """
    folders = [Path(folder) for folder in ([init_from] if isinstance(init_from, str) else init_from or [])]
    if init_tensors is not None and not folders:
        raise ValueError(f"init_tensors={init_tensors} needs init_from, the run to take them from")
    sources = [source(folder) for folder in folders]
    if not folders:
        return sources
    stored = mean([load_file(folder / "method.safetensors") for folder in folders])
    if init_tensors is None:
        for folder in folders:
            check_method(method, folder)
        method.start_from(stored)
    else:
        method.load_state_dict(method.state_dict() | chosen(method, stored, init_tensors))
    return sources


def check_method(method: Method, folder: Path) -> None:
    """Raises ValueError unless the run in `folder` is one of the same method."""
    theirs = json.loads((folder / "result.json").read_text(encoding="utf-8"))["config"]["method"]["_target_"]
    own = f"{type(method).__module__}.{type(method).__qualname__}"
    if theirs != own:
        raise ValueError(
            f"init_from={folder} is a run of {theirs}, and this is {own}; take a run of the same method, "
            "or say with init_tensors which tensors to take"
        )


def chosen(method: Method, stored: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors `names` of `stored`; raises ValueError where there is none of that name and shape on both sides."""
    own = method.state_dict()
    for name in names:
        shapes = [list(state[name].shape) if name in state else "absent" for state in (stored, own)]
        if "absent" in shapes or shapes[0] != shapes[1]:
            raise ValueError(
                f"init_tensors={name} is {shapes[0]} in the run of init_from and {shapes[1]} in the method; "
                f"they have {describe_shapes(stored)} and {describe_shapes(own)}"
            )
    return {name: stored[name] for name in names}


def source(folder: Path) -> dict:
    """What a result records of a run that another one starts from."""
    path = folder / "result.json"
    if not path.is_file() or not (folder / "method.safetensors").is_file():
        raise ValueError(
            f"init_from={folder} is no folder of a finished run; it has to have result.json and method.safetensors"
        )
    result = json.loads(path.read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / "method.safetensors").read_bytes()).hexdigest()
    return {"run": result["run"], "sha256": digest, "sources": result.get("sources", [])}


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over `states`; raises ValueError where they are not alike."""
    first = states[0]
    shapes = {name: tensor.shape for name, tensor in first.items()}
    for state in states[1:]:
        if {name: tensor.shape for name, tensor in state.items()} != shapes:
            raise ValueError(f"init_from has runs whose tensors differ: {describe_shapes(first)} and {describe_shapes(state)}")
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in first}
