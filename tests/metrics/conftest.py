"""Outputs with the official scorers' own scores, and the real references, where they lie beside the project."""

import csv
import gzip
import json
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


def load(path: str):
    """The JSON of a file, or a skipped test where it is absent."""
    file = SHARED / path
    if not file.exists():
        pytest.skip(f"needs {path}")
    return json.loads((gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode())


@pytest.fixture(scope="session")
def golden() -> dict:
    return load("golden/metrics_small.json")


@pytest.fixture(scope="session")
def texts(golden) -> tuple[list[str], list[list[str]]]:
    """Predictions and references of the golden set."""
    return [item["hyp"] for item in golden["items"]], [item["refs"] for item in golden["items"]]


@pytest.fixture(scope="session")
def summaries(golden) -> tuple[list[str], list[list[str]]]:
    items = golden["summarisation"]["items"]
    return [item["hyp"] for item in items], [[item["ref"]] for item in items]


@pytest.fixture(scope="session")
def classes(golden) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Predicted and true classes and numbers, as texts."""
    return {
        name: ([str(x) for x in case["preds"]], [[str(x)] for x in case["labels"]])
        for name, case in golden["classification"]["data"].items()
    }


@pytest.fixture(scope="session")
def e2e_rows():
    """What reads the inputs and the references of an E2E file, a row for each reference."""

    def rows(name: str) -> tuple[list[str], list[list[str]]]:
        path = SHARED / "data" / "e2e" / name
        if not path.exists():
            pytest.skip(f"needs {path.name}")
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        return [row["mr"] for row in found], [[row["ref"]] for row in found]

    return rows


@pytest.fixture(scope="session")
def human(e2e_rows) -> tuple[list[str], list[list[str]]]:
    """The first reference of each E2E test input, and the others."""
    groups: dict[str, list[str]] = {}
    for source, refs in zip(*e2e_rows("testset_w_refs.csv"), strict=True):
        groups.setdefault(source, []).extend(refs)
    return [refs[0] for refs in groups.values()], [refs[1:] for refs in groups.values()]


@pytest.fixture(scope="session")
def webnlg() -> tuple[list[str], list[list[str]]]:
    """Inputs and references of the WebNLG 2017 test set."""
    found = load("data/webnlg/webnlg_challenge_2017/test.json.gz")["entries"]
    entries = [entry for numbered in found for entry in numbered.values()]
    sources = [json.dumps(entry["modifiedtripleset"]) for entry in entries]
    return sources, [[lex["lex"] for lex in entry["lexicalisations"]] for entry in entries]


@pytest.fixture(scope="session")
def dart() -> tuple[list[str], list[list[str]]]:
    """Inputs and references of the DART test set."""
    entries = load("data/dart/dart-v1.1.1-full-test.json.gz")
    sources = [json.dumps(entry["tripleset"]) for entry in entries]
    return sources, [[annotation["text"] for annotation in entry["annotations"]] for entry in entries]


@pytest.fixture
def without_java(monkeypatch):
    """As where the extra nlg-java is not installed."""
    from peft_cli.metrics.words import jars, split_texts

    monkeypatch.setattr(jars, "PACKAGES", ("no_such_package",))
    for cached in (jars.missing_packages, split_texts):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (jars.missing_packages, split_texts):
        cached.cache_clear()
