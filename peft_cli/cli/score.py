"""`peft-score`: scores a file of predictions, from here or from another system, by a protocol.

files -> Rows (predictions, references, sources) -> Scores -> what is printed, and a folder that peft-report reads
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from peft_cli.data import Example, fingerprint
from peft_cli.metrics import Scores, check_request, metrics, score
from peft_cli.metrics.protocols import load
from peft_cli.run_folder.result import RunFolder

PACKAGES = ("peft-cli", "sacrebleu", "rouge-score")


@dataclass(frozen=True)
class Rows:
    """Predictions with their references, in the order of the file; without sources each source is empty."""

    predictions: list[str]
    examples: list[Example]

    @property
    def sources(self) -> list[str] | None:
        """The inputs; None where the file has none."""
        sources = [example.source for example in self.examples]
        return sources if all(sources) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the scores and returns the exit code: 0, or 2 for a request that cannot be met."""
    try:
        options = parse(arguments)
        rows = read(options.predictions, options.references)
        run = beside(options.references or options.predictions)
        scores = judge(options, rows, run)
        if options.out:
            write(options, rows, run, scores)
        print("\n".join(told(scores)))
        return 0
    except (ValueError, OSError) as error:
        is_about_file = isinstance(error, OSError) and error.filename
        print(f"peft-score: {f'{error.filename}: {error.strerror}' if is_about_file else error}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The command line's files and choices."""

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}; peft-score --help shows what there is")

    parser = ArgumentParser(
        "peft-score",
        description="Scores predictions against their references and says how each score was computed.",
        epilog=f"metrics: {', '.join(metrics())}",
    )
    parser.error = refuse
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="FILE",
        help="a .jsonl file with prediction and references (a list) in each row, and with source where equal inputs "
        "are one item; or, with --references, any file with a prediction in each line",
    )
    parser.add_argument(
        "--references",
        type=Path,
        metavar="FILE",
        help="a .jsonl file whose rows have the references, in the same order",
    )
    parser.add_argument("--protocol", help="rules of scoring (default: those of the run that made the file, or plain)")
    parser.add_argument(
        "--metrics", type=listed, help="metrics, with commas (default: what the protocol's script prints)"
    )
    parser.add_argument("--labels", type=listed, default=[], help="classes, with commas; of two the second is positive")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write result.json and predictions.jsonl there")
    parser.add_argument("--name", help="what tables call the system (default: the file's name)")
    parser.add_argument("--data", help="the data set's name in tables (default: that of the run that made the file)")
    return parser.parse_args(arguments)


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def read(predictions: Path, references: Path | None) -> Rows:
    """The predictions with their references. Raises ValueError where a row has none, or the files differ in length."""
    if references is None and predictions.suffix != ".jsonl":
        raise ValueError(f"{predictions} is no .jsonl file, so it has no references; say --references FILE")
    rows = read_rows(references or predictions)
    examples = [as_example(row, f"{references or predictions}, line {i + 1}") for i, row in enumerate(rows)]
    if predictions.suffix != ".jsonl":
        texts = predictions.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    else:
        said = enumerate(read_rows(predictions))
        texts = [text_of(row, "prediction", f"{predictions}, line {i + 1}") for i, row in said]
    if len(texts) != len(examples):
        raise ValueError(f"{predictions} has {len(texts)} predictions and {references} has {len(examples)} rows")
    return Rows(texts, examples)


def read_rows(path: Path) -> list[dict]:
    """The objects of a file of JSON lines."""
    rows = []
    for i, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {i + 1}, is no JSON: {error}") from None
        if not isinstance(rows[-1], dict):
            raise ValueError(f"{path}, line {i + 1}, is no JSON object with prediction and references")
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows


def as_example(row: Mapping, place: str) -> Example:
    """The example of a row; one reference may stand without a list."""
    references = row.get("references")
    several = [references] if isinstance(references, str) else references
    if not isinstance(several, list) or not all(isinstance(ref, str) for ref in several):
        raise ValueError(f"{place}, has no references; they have to be a list of texts")
    source = text_of(row, "source", place) if "source" in row else ""
    return Example(str(row.get("id", place)), source, tuple(several))


def text_of(row: Mapping, key: str, place: str) -> str:
    """The text that a row has under a key."""
    if not isinstance(row.get(key), str):
        raise ValueError(f"{place}, has no {key}; it has {', '.join(row)}")
    return row[key]


def beside(path: Path) -> dict:
    """The result of the run in whose folder `path` is; empty where it is in none."""
    result = path.parent / "result.json"
    return (
        json.loads(result.read_text(encoding="utf-8")) if path.name == "predictions.jsonl" and result.exists() else {}
    )


def judge(options: Namespace, rows: Rows, run: Mapping) -> Scores:
    """The scores that `options` ask for."""
    protocol = options.protocol or run.get("scored", {}).get("protocol", "plain")
    names = options.metrics or load(protocol).metrics
    check_request(protocol, list(names))
    references = [example.references for example in rows.examples]
    return score(names, rows.predictions, references, protocol, rows.sources, options.labels)


def told(scores: Scores) -> list[str]:
    """The lines that are printed: each score, how each metric was computed, and what has no value."""
    width = max(map(len, scores.values))
    lines = [f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}" for name, value in scores.values.items()]
    lines += ["", *(f"{name}: {signature}" for name, signature in scores.signatures.items())]
    counts = ", ".join(f"{n} ({items:,})" for n, items in scores.items["references"])
    lines.append(f"references of an item (so many items): {counts or 'none'}")
    if scores.items["unreferenced"]:
        lines.append(f"not scored, as they have no reference: {scores.items['unreferenced']}")
    return lines + [f"{name} has no value: {reason}" for name, reason in scores.reasons.items()]


def write(options: Namespace, rows: Rows, run: Mapping, scores: Scores) -> None:
    """Writes predictions.jsonl, with each example's own scores, and result.json, which peft-report reads.

    Raises ValueError where the folder has a result, or nobody says which data set this is.
    """
    folder = RunFolder(options.out)
    if folder.is_finished:
        raise ValueError(f"--out {options.out} has a result.json; name another folder or delete that one")
    data = options.data or run.get("run", {}).get("data")
    if data is None:
        raise ValueError("--out needs --data NAME: the data set in whose tables this system stands")
    name = options.name or options.predictions.stem
    options.out.mkdir(parents=True, exist_ok=True)
    folder.write_predictions(rows.examples, rows.predictions, scores.examples)
    digest = hashlib.sha256(options.predictions.read_bytes()).hexdigest()
    folder.finish(
        {
            "run": {"method": name, "data": data, "backbone": "-", "shots": None, "seed": None, "data_seed": None},
            "system": {"name": name, "sha256": digest},
            "scores": scores.values,
            "signatures": scores.signatures,
            "undefined": scores.reasons,
            "scored": scores.items,
            "data": {"n_test": len(rows.examples), "sha256": {"test": fingerprint(rows.examples)}},
            "environment": {
                "python": platform.python_version(),
                "versions": {package: version(package) for package in PACKAGES},
                "commit": None,
            },
        }
    )


if __name__ == "__main__":
    sys.exit(main())
