"""Where a data set comes from: its original files in `data.root`, or else the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from peft_cli.config import hub as hub_at
from peft_cli.data.reading.rows import PACKED, open_bytes, readable

EMBEDDED = Path(__file__).parents[2] / "embedded"  # the data sets that ship with this package
SPLITS = ("train", "validation", "test")
CONVERTED = "refs/convert/parquet"  # the hub's own copy of a data set whose repository holds a script
HUB_KEYS = ("path", "name", "data_dir", *SPLITS)
Shape = TypeVar("Shape")


def find_file(folder: Path, name: str) -> Path | None:
    """The file `name` of `folder`, plain or packed; None where there is neither."""
    return next((path for end in ("", *PACKED) if (path := folder / f"{name}{end}").is_file()), None)


def read_json(path: Path, shape: type[Shape]) -> Shape:
    """What a JSON file holds; raises ValueError for a file that is no JSON or has another shape."""
    with readable(path), open_bytes(path) as file:
        content = file.read()
    try:
        return TypeAdapter(shape).validate_json(content)
    except ValidationError as error:
        raise ValueError(f"{path} is no file of this data set ({first_error(error)})") from None


def first_error(error: ValidationError) -> str:
    """The first thing that pydantic found, and where: "0.tripleset: Field required"."""
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]


@dataclass(frozen=True)
class Origin:
    """The places of a data set, and the numbers of rows that it was published with."""

    root: str  # the folder of its files
    where: str | None  # where to get the files
    hub: Mapping[str, str] | None  # conf/data/files.yaml says what it has; None: it is not on the hub
    rows: Mapping[str, int] | None  # published rows of each split; None checks nothing

    def __post_init__(self) -> None:
        """Raises ValueError for a `hub` that names no data set."""
        if self.hub is not None:
            check_hub(self.hub)

    def locate(self, names: Sequence[str]) -> list[Path] | None:
        """The paths of the files `names` in the folder; None where none is there and the hub has them.

        Raises ValueError where some are missing, and where all are and the hub cannot be reached: it names the files,
        where to get them and where to put them.
        """
        paths = [path for name in names if (path := find_file(Path(self.root), name))]
        if len(paths) == len(names):
            return paths
        missing = [name for name in names if find_file(Path(self.root), name) is None]
        absent = f"data.root={self.root} has no {', '.join(missing)}"
        put = "say data.root=<their folder>"
        advice = f"get the files from {self.where} and {put}" if self.where else put
        if self.hub is None or paths:
            raise ValueError(f"{absent}; {advice}")
        dataset = self.hub["path"]
        if not Path(dataset).is_dir() and not hub_at.is_reachable() and not is_cached(dataset):
            raise ValueError(f"{absent}, and the Hugging Face hub, which has {dataset}, cannot be reached; {advice}")
        return None

    def read_hub(self, shape: type[Shape], splits: Iterable[str] = SPLITS) -> dict[str, list[Shape]]:
        """The rows of each of `splits`, by `datasets`, which keeps them in its cache; each row has to fit `shape`.

        Raises ValueError where the data set cannot be had, or is another one.
        """
        hub = self.hub or {}
        loaded = load_hub(hub, self.name)
        names = {split: hub.get(split, split) for split in splits}
        if missing := [name for name in names.values() if name not in loaded]:
            has = ", ".join(loaded)
            raise ValueError(f"{self.name} has no split {missing[0]} on the Hugging Face hub; it has {has}")
        try:
            rows = TypeAdapter(list[shape])  # type: ignore[valid-type]  # a type that is an argument
            return {split: rows.validate_python(loaded[name].to_list()) for split, name in names.items()}
        except ValidationError as error:
            raise ValueError(
                f"{self.name} on the Hugging Face hub is another data set ({first_error(error)})"
            ) from None

    @property
    def name(self) -> str:
        """The data set's id on the hub, and its configuration."""
        return " ".join(self.hub[key] for key in ("path", "name", "data_dir") if key in self.hub) if self.hub else ""

    def check_counts(self, parts: Mapping[str, Sized], is_hub: bool) -> None:
        """Raises ValueError for the first split that has another number of rows than was published."""
        for split, expected in (self.rows or {}).items():
            if split in parts and len(parts[split]) != expected:
                found = f"{self.name if is_hub else f'data.root={self.root}'} has {len(parts[split])} rows of {split}"
                again = f"get it again from {self.where}" if self.where else "get it again"
                raise ValueError(
                    f"{found} where the official data has {expected}; {again}, or say data.rows=null for other files "
                    "of the same layout"
                )

    def notes(self, is_hub: bool) -> dict[str, object]:
        """What a result says of where the data came from, and the published counts that it has; null where none."""
        return {"origin": self.name if is_hub else "files", "checked_rows": self.rows}


def check_hub(hub: Mapping[str, str]) -> None:
    """Raises ValueError unless `hub` has an id, owner/name, or a folder, and no key that there is not.

    A plain name is one of `datasets`' own readers, of which one takes pickles.
    """
    if wrong := [key for key in hub if key not in HUB_KEYS]:
        raise ValueError(f"data.hub has no key {wrong[0]}; it has {', '.join(HUB_KEYS)}")
    if "path" not in hub:
        raise ValueError(
            "data.hub has no path; it has to have the data set's id, as in {path: nyu-mll/glue, name: cola}"
        )
    if "/" not in hub["path"]:
        raise ValueError(f"data.hub.path={hub['path']} is no id of a data set, as in nyu-mll/glue, and no folder")


def is_cached(dataset: str) -> bool:
    """Whether `datasets` has the data set of an id in its cache."""
    import datasets

    return (Path(datasets.config.HF_DATASETS_CACHE) / dataset.replace("/", "___")).is_dir()


def load_hub(hub: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """All splits of a data set of the hub, or of a folder that has it as the hub does.

    Raises ValueError where it cannot be had.
    """
    import datasets

    datasets.disable_progress_bars()
    if not hub_at.is_reachable():
        datasets.config.HF_HUB_OFFLINE = True  # what is cached is read at once, and nothing is tried again and again
    options = {key: value for key, value in hub.items() if key not in SPLITS}
    if "data_dir" in options and not Path(hub["path"]).is_dir():
        options["revision"] = CONVERTED
    try:
        return datasets.load_dataset(**options)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(". ")
        raise ValueError(f"{name} cannot be had from the Hugging Face hub ({reason})") from error
