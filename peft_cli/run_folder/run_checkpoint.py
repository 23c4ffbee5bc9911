"""A finished run as a backbone: the weights of the pretrained model that it trained, as intermediate training does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from peft_cli.run_folder.files import read_json
from peft_cli.run_folder.tensors import read_tensors

ADOPTED = "adopted."  # how the name of a weight of the backbone begins in what a method stores


@dataclass(frozen=True)
class RunCheckpoint:
    """A pretrained model's name, and the weights and classes that runs trained; none where the name is no run's."""

    name: str
    tensors: Mapping[str, Tensor]
    labels: Sequence[str]  # the classes of the run's head


def read_run_checkpoint(name: str, above: frozenset[Path] = frozenset()) -> RunCheckpoint:
    """Returns the weights in the run folder `name`, and in those that its backbone came from.

    Raises ValueError for a run whose method stored more than weights of the backbone, and for one that comes from
    itself; `above` has the folders of those that came from it.
    """
    folder = Path(name)
    if not (folder / "result.json").is_file():
        return RunCheckpoint(name, {}, ())
    if folder.resolve() in above:
        raise ValueError(f"backbone.name={name} is a run whose backbone is that run itself; take another backbone")
    result, stored = read_json(folder / "result.json"), read_tensors(folder)
    try:
        method, labels = result["run"]["method"], result["data"]["labels"]
        source = str(result["config"]["backbone"]["name"])
    except (LookupError, TypeError) as error:
        raise ValueError(
            f"{folder / 'result.json'} is no result of a run ({error} is lacking or of another type)"
        ) from error
    if added := [key for key in stored if not key.startswith(ADOPTED)]:
        raise ValueError(
            f"backbone.name={name} is a run of method={method}, which stores {added[0]} beside the "
            "backbone's own weights; take a run of method=ft, or give init_from for a run of the same method"
        )
    before = read_run_checkpoint(source, above | {folder.resolve()})
    own = {key.removeprefix(ADOPTED).replace("/", "."): tensor for key, tensor in stored.items()}
    return RunCheckpoint(before.name, {**before.tensors, **own}, labels)
