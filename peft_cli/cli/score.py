"""`peft-score`: scores a file of predictions, from here or from another system, by a protocol.

files -> Rows (predictions, examples) -> Scores -> what is printed, and a folder that peft-report reads
"""

from __future__ import annotations

import hashlib
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from peft_cli.data import Example
from peft_cli.data.reading.content import fingerprint
from peft_cli.data.reading.rows import Row, open_bytes, read_lines, read_rows, readable, suffix
from peft_cli.metrics import Scores, check_request, metric_names, score
from peft_cli.metrics.protocols import load_protocol
from peft_cli.run_folder.files import one_line, read_json
from peft_cli.run_folder.result import RunFolder

PACKAGES = ("peft-cli", "sacrebleu", "rouge-score")
OF_A_RUN = ("result.json", "config.yaml", "predictions.jsonl")  # what --out must not replace


@dataclass(frozen=True)
class Rows:
    """Predictions with their references, in the order of the file."""

    predictions: list[str]
    examples: list[Example]
    has_sources: bool  # without them each source is empty


class Parser(ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises ValueError for a command line that cannot be read."""
        raise ValueError(f"{message}; peft-score --help lists what there is")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the scores and returns the exit code: 0, or 2 for a request that cannot be met."""
    try:
        print_lines(score_files(parse(arguments)))
        return 0
    except (ValueError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"peft-score: {one_line(text)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The command line's files and choices."""
    parser = Parser(
        "peft-score",
        description="Scores predictions against their references and prints how each score was computed.",
        epilog=f"metrics: {', '.join(metric_names())}",
    )
    text = (
        "a .jsonl file with prediction and references (a list) in each row, and with source where equal inputs are one "
        "item; or, with --references, any file with a prediction in each line"
    )
    parser.add_argument("predictions", type=Path, metavar="FILE", help=text)
    text = "a .jsonl file whose rows have the references, in the same order"
    parser.add_argument("--references", type=Path, metavar="FILE", help=text)
    text = "rules of scoring (default: those of the run that made the file, or plain)"
    parser.add_argument("--protocol", help=text)
    text = "metrics, with commas (default: those of the protocol's script)"
    parser.add_argument("--metrics", type=split_commas, help=text)
    text = "classes, with commas; of two the second is positive"
    parser.add_argument("--labels", type=split_commas, default=[], help=text)
    text = "also write result.json and predictions.jsonl there"
    parser.add_argument("--out", type=lambda path: Path(path).expanduser(), metavar="FOLDER", help=text)
    parser.add_argument("--name", help="the system's name in tables (default: the file's name)")
    text = "the data set's name in tables (default: that of the run that made the file)"
    parser.add_argument("--data", help=text)
    return parser.parse_args(arguments)


def split_commas(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def score_files(options: Namespace) -> Iterator[str]:
    """The lines that `options` ask for, after --out is written. Nothing is scored where --out cannot be written."""
    protocol, data = run_choices(options.references or options.predictions)
    protocol, data = options.protocol or protocol, options.data or data
    names = options.metrics or list(load_protocol(protocol).metrics)
    check_request(protocol, names)
    rows = read_files(options.predictions, options.references)
    if options.out:
        check_out(options.out, data)
    references, sources = ([getattr(example, side) for example in rows.examples] for side in ("references", "source"))
    grouped_by = sources if rows.has_sources else None
    scores = score(names, rows.predictions, references, protocol, grouped_by, options.labels)
    if options.out:
        write_folder(options, rows, data, scores)
    return describe_scores(scores)


def run_choices(path: Path) -> tuple[str, str | None]:
    """The protocol and the data set of the run that wrote predictions.jsonl; "plain" and None for another file."""
    result = path.parent / "result.json"
    if path.name != "predictions.jsonl" or not result.exists():
        return "plain", None
    content = read_json(result)
    try:
        protocol, data = content.get("scored", {}).get("protocol", "plain"), content["run"]["data"]
    except (LookupError, TypeError, AttributeError):
        protocol = data = None
    if not isinstance(protocol, str) or not isinstance(data, str):
        raise ValueError(f"{result} is no result of a run; move {path.name} to another folder")
    return protocol, data


# Files


def read_files(predictions: Path, references: Path | None) -> Rows:
    """The predictions with their references. Raises ValueError where a row has none, or the files differ in length."""
    if references is None and suffix(predictions) != ".jsonl":
        raise ValueError(f"{predictions} is no .jsonl file, so it has no references; add --references FILE")
    source = references or predictions
    if suffix(source) != ".jsonl":
        raise ValueError(f"--references {source} has to be a .jsonl file whose rows have references")
    rows = read_objects(source)
    examples = [read_example(row, f"{source}, line {row.line}") for row in rows]
    n_sources = sum("source" in row.cells for row in rows)
    if 0 < n_sources < len(rows):
        raise ValueError(f"{source} has a source in {n_sources} of its {len(rows)} rows; give one to all or none")
    if suffix(predictions) != ".jsonl":
        texts = list(read_texts(predictions))
    else:
        predicted = read_objects(predictions) if references else rows
        texts = [read_text(row, "prediction", f"{predictions}, line {row.line}") for row in predicted]
    if len(texts) != len(examples):
        raise ValueError(
            f"{predictions} has {len(texts)} predictions and {source} has {len(examples)} rows; each row needs one"
        )
    return Rows(texts, examples, bool(n_sources))


def read_objects(path: Path) -> list[Row]:
    """The rows of a file of JSON lines; raises ValueError for one without rows."""
    if not (rows := read_rows(path, refuse=refuse)):
        raise ValueError(f"{path} has no rows")
    return rows


def read_texts(path: Path) -> Iterator[str]:
    """The lines of a file, each a prediction; only "\\n" and "\\r\\n" end one."""
    with readable(path), open_bytes(path) as file:
        for line in read_lines(path, file, "utf-8"):
            if line.fault:
                refuse(f"{path}, line {line.number}: {line.fault}")
            yield line.text.removesuffix("\n").removesuffix("\r")


def refuse(sentence: str) -> NoReturn:
    """Raises ValueError for a bad line, without the advice on data.encoding, which belongs to peft-run."""
    place, comma, reason = sentence.rpartition(", line ")
    raise ValueError(f"{place}{comma}{reason.partition('; ')[0]}")


def read_example(row: Row, place: str) -> Example:
    """The example of a row; one reference may be a text and no list."""
    references = row.cells.get("references")
    texts = [references] if isinstance(references, str) else references
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{place}: no references; they have to be a list of texts")
    source = read_text(row, "source", place) if "source" in row.cells else ""
    name = str(row.cells.get("id", f"line-{row.line}"))
    return Example(check_text(name, place), source, tuple(check_text(text, place) for text in texts))


def read_text(row: Row, key: str, place: str) -> str:
    """The text that a row has under a key."""
    text = row.cells.get(key)
    if not isinstance(text, str):
        raise ValueError(f"{place}: no text under {key}; the row has {', '.join(row.cells)}")
    return check_text(text, place)


def check_text(text: str, place: str) -> str:
    """`text`; raises ValueError where it cannot be written to a file."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{place}: a NUL or half of a surrogate pair, which is no character")
    return text


# What is written


def check_out(folder: Path, data: str | None) -> None:
    """Raises ValueError where `folder` is a file or has files of a run, or no table is named for the scores."""
    if folder.is_file():
        raise ValueError(f"--out {folder} is a file; name a folder")
    if existing := [name for name in OF_A_RUN if (folder / name).exists()]:
        raise ValueError(f"--out {folder} has a {existing[0]}; name another folder")
    if data is None:
        raise ValueError("--out needs --data NAME: the data set in whose tables this system appears")


def write_folder(options: Namespace, rows: Rows, data: str | None, scores: Scores) -> None:
    """Writes predictions.jsonl, with each example's own scores, and result.json, which peft-report reads."""
    name = options.name or options.predictions.stem
    options.out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(options.out)
    folder.write_predictions(rows.examples, rows.predictions, scores.examples)
    with options.predictions.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
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


def describe_scores(scores: Scores) -> Iterator[str]:
    """Each score, how each metric was computed, and why a metric has no value."""
    width = max(map(len, scores.values))
    for name, value in scores.values.items():
        yield f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}"
    yield ""
    yield from (one_line(f"{name}: {signature}") for name, signature in scores.signatures.items())
    counts = ", ".join(f"{n} ({items:,})" for n, items in scores.items["references"])
    yield f"references of an item (so many items): {counts or 'none'}"
    if scores.items["unreferenced"]:
        yield f"not scored, as they have no reference: {scores.items['unreferenced']}"
    yield from (one_line(f"{name} has no value: {reason}") for name, reason in scores.reasons.items())


def print_lines(lines: Iterator[str]) -> None:
    """Prints lines with escapes for the characters that the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
