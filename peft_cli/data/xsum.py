"""XSum: a news article to one sentence (Narayan et al., 2018, https://aclanthology.org/D18-1206)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import SPLITS, check_counts, find, from_hub, locate, notes, told
from peft_cli.data.reading.rows import open_bytes, read

OFFICIAL = "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json"  # the ids of each split; checked where it lies in data.root
WHERE = "https://huggingface.co/datasets/EdinburghNLP/xsum, or https://github.com/EdinburghNLP/XSum"
COLUMNS = ("document", "summary", "id")
LARGEST = ("world", "uk", "business")  # sections of the news that within-news trains on
SIDES: dict[str, tuple[Callable[[str, str], bool], Callable[[str, str], bool]]] = {
    "news_to_sports": (lambda topic, section: topic == "news", lambda topic, section: topic == "sport"),
    "within_news": (
        lambda topic, section: topic == "news" and section in LARGEST,
        lambda topic, section: topic == "news" and section not in LARGEST,
    ),
}  # split -> which articles train and validate, and which test


def load(
    root: str,
    train: str,
    validation: str | None,
    test: str,
    split: Literal["official", "news_to_sports", "within_news"],
    rows: dict[str, int] | None,
    hub: dict[str, str] | None,
    metrics: list[str],
) -> Data:
    """204,045 articles to train, 11,332 to validate, 11,334 to test, or parts of these by topic (Li and Liang, 2021).

    Raises ValueError where a file is absent or is not the official one, an article belongs to another split, or the
    topics are asked for and the articles have no `url`.
    """
    files = {name: file for name, file in zip(SPLITS, (train, validation, test), strict=True) if file}
    paths = locate(root, list(files.values()), WHERE, hub)
    if paths:
        parts = {name: of_file(path) for name, path in zip(files, paths, strict=True)}
        check_ids(parts, Path(root))
    else:
        parts = from_hub(hub, files)
    check_counts({name: len(part) for name, part in parts.items()}, rows, f"data.root={root}", WHERE)
    if split != "official":
        trains, tests = SIDES[split]
        parts = {name: by_topic(part, tests if name == "test" else trains, split) for name, part in parts.items()}
    return Data(
        *(examples(parts.get(name, ()), name) for name in SPLITS),
        metrics=tuple(metrics),
        protocol="xsum",
        notes=notes("files" if paths else told(hub), rows),
    )


def examples(articles: Sequence[Mapping], split: str) -> list[Example]:
    """An example for each article, by its BBC id."""
    return [Example(f"{split}-{row['id']}", text(row["document"]), (text(row["summary"]),)) for row in articles]


def of_file(path: Path) -> list[Mapping[str, str]]:
    """The articles of a jsonl file."""
    articles = []
    for line, cells in read(path):
        missing = [name for name in COLUMNS if not str(cells.get(name, "")).strip()]
        if missing:
            raise ValueError(f"{path}, line {line}: no {missing[0]}; an article has document, summary and id")
        articles.append(cells)
    return articles


def check_ids(parts: Mapping[str, Sequence[Mapping]], root: Path) -> None:
    """Raises ValueError for the first article that the official split has elsewhere; passes where it is not at hand."""
    path = find(root, OFFICIAL)
    if path is None:
        return
    with open_bytes(path) as file:
        official = {split: set(ids) for split, ids in json.load(file).items()}
    for split, part in parts.items():
        strangers = [row["id"] for row in part if str(row["id"]) not in official[split]]
        if strangers:
            raise ValueError(f"data.{split} has the article {strangers[0]}, which {path.name} has not in {split}")


def by_topic(articles: Sequence[Mapping], belongs: Callable[[str, str], bool], split: str) -> list[Mapping]:
    """The articles whose topic and section belong; raises ValueError where an article has no URL."""
    for row in articles:
        if not row.get("url"):
            raise ValueError(
                f"data.split={split} goes by the articles' URLs, and the article {row['id']} has none; add a "
                "column url (XSum-WebArxiveUrls-BBCids.txt in https://github.com/EdinburghNLP/XSum has them by id)"
            )
    return [row for row in articles if belongs(*topic(row["url"]))]


def topic(url: str) -> tuple[str, str]:
    """Topic and section of an article: of ".../news/uk-england-123" news and uk, of ".../sport/football/1" sport."""
    found = re.search(r"bbc\.co(?:\.uk|m)(?::\d+)?/(?:[a-z0-9]+/hi/)?(news|sport)/(?:0/)?([a-z]*)", url)
    return found.groups() if found else ("", "")


def text(value: str) -> str:
    """A text on one line."""
    return " ".join(value.split())
