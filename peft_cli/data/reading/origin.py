"""Where a data set comes from: its original files in `data.root`, or else the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from peft_cli.config import hub as hub_at

SPLITS = ("train", "validation", "test")
CONVERTED = "refs/convert/parquet"  # the hub's own copy of a data set whose repository holds a script


def find(folder: Path, name: str) -> Path | None:
    """The file `name` of `folder`, plain or packed with gzip; None where there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def locate(root: str, names: Sequence[str], where: str | None, hub: Mapping[str, str] | None) -> list[Path] | None:
    """The paths of the files `names` in `root`; None where none is there and the hub has them.

    Raises ValueError where some are missing, and where all are and the hub cannot be reached: it names the files,
    where to get them and where to put them.
    """
    paths = [find(Path(root), name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if not missing:
        return paths
    absent = f"data.root={root} has no {', '.join(missing)}"
    advice = f"get the files from {where} and say data.root=<their folder>" if where else "say data.root=<their folder>"
    if hub is not None and "path" not in hub:
        raise ValueError(
            "data.hub has no path; it has to have the data set's id, as in {path: nyu-mll/glue, name: cola}"
        )
    if hub is None or len(missing) < len(names):
        raise ValueError(f"{absent}; {advice}")
    if not Path(hub["path"]).is_dir() and not hub_at.answers() and not is_cached(hub):
        raise ValueError(f"{absent}, and the Hugging Face hub, which has {hub['path']}, cannot be reached; {advice}")
    return None


def is_cached(hub: Mapping[str, str]) -> bool:
    """Whether `datasets` has the data set from an earlier time."""
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE) / hub["path"].replace("/", "___")
    return folder.is_dir()


def from_hub(hub: Mapping[str, str], splits: Iterable[str] = SPLITS) -> dict[str, list[dict]]:
    """The rows of each of `splits`, by `datasets`, which keeps them in its cache.

    `hub` has a path, and where it is needed the name of a configuration, a folder of the hub's parquet copy (data_dir)
    and the hub's own names of the splits (test: validation_matched). A class's number becomes text, as in the files.
    Raises ValueError where the data set cannot be had.
    """
    import datasets

    datasets.disable_progress_bars()
    if not hub_at.answers():
        datasets.config.HF_HUB_OFFLINE = True  # what is cached is read at once, and nothing is tried again and again
    options = {key: value for key, value in hub.items() if key not in SPLITS}
    if "data_dir" in options and not Path(hub["path"]).is_dir():
        options["revision"] = CONVERTED
    try:
        loaded = datasets.load_dataset(**options)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(". ")
        raise ValueError(f"{told(hub)} cannot be had from the Hugging Face hub ({reason})") from error
    names = {split: hub.get(split, split) for split in splits}
    missing = [name for name in names.values() if name not in loaded]
    if missing:
        raise ValueError(f"{told(hub)} has no split {missing[0]} on the Hugging Face hub; it has {', '.join(loaded)}")
    return {split: loaded[name].to_list() for split, name in names.items()}


def told(hub: Mapping[str, str]) -> str:
    """The data set's id on the hub, and its configuration."""
    return " ".join(hub[key] for key in ("path", "name", "data_dir") if key in hub)


def check_counts(found: Mapping[str, int], rows: Mapping[str, int] | None, origin: str, where: str | None) -> None:
    """Raises ValueError for the first split that has another number of rows than the published data set."""
    for split, expected in (rows or {}).items():
        if split in found and found[split] != expected:
            again = f"get it again from {where}" if where else "get it again"
            raise ValueError(
                f"{origin} has {found[split]} rows of {split} where the official data has {expected}; {again}, or say "
                "data.rows=null for other files of the same layout"
            )


def notes(origin: str, rows: Mapping[str, int] | None) -> dict[str, object]:
    """What a result tells of where the data came from, and the counts that it was held against, null where none."""
    return {"origin": origin, "checked_rows": rows}
