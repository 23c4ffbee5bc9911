"""XSum: a news article to one sentence (Narayan et al., 2018, https://aclanthology.org/D18-1206)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from peft_cli.data import Data, Example
from peft_cli.data.reading.origin import SPLITS, Origin, find_file, read_json
from peft_cli.data.reading.rows import read_rows, text_of

OFFICIAL = "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json"  # the ids of each split; checked where it lies in data.root
WHERE = "https://huggingface.co/datasets/EdinburghNLP/xsum, or https://github.com/EdinburghNLP/XSum"
COLUMNS = ("document", "summary", "id")
LARGEST = ("world", "uk", "business")  # sections of the news that within-news trains on

Article = Mapping[str, str]
IsPart = Callable[[str, str], bool]  # whether articles of a topic and a section belong to a part
SIDES: dict[str, tuple[IsPart, IsPart]] = {
    "news_to_sports": (lambda topic, section: topic == "news", lambda topic, section: topic == "sport"),
    "within_news": (
        lambda topic, section: topic == "news" and section in LARGEST,
        lambda topic, section: topic == "news" and section not in LARGEST,
    ),
}  # split -> which articles train and validate, and which test


def read_xsum(
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

    Raises ValueError where a file is absent or is not the official one, an article belongs to another split, or a
    split by topics needs a `url` that the articles lack.
    """
    origin = Origin(root, WHERE, hub, rows)
    files = {name: file for name, file in zip(SPLITS, (train, validation, test), strict=True) if file}
    paths = origin.locate(list(files.values()))
    parts: dict[str, list[Article]]
    if paths:
        parts = {name: read_articles(path) for name, path in zip(files, paths, strict=True)}
        check_ids(parts, Path(root))
    else:
        parts = {name: list(part) for name, part in origin.read_hub(dict[str, str], files).items()}
    origin.check_counts(parts, is_hub=not paths)
    if split != "official":
        trains, tests = SIDES[split]
        parts = {name: by_topic(part, tests if name == "test" else trains, split) for name, part in parts.items()}
    trained, validated, tested = (article_examples(parts.get(name, ()), name) for name in SPLITS)
    return Data(trained, validated, tested, tuple(metrics), protocol="xsum", notes=origin.notes(is_hub=not paths))


def article_examples(articles: Sequence[Article], split: str) -> list[Example]:
    """An example for each article, by its BBC id."""
    return [Example(f"{split}-{row['id']}", one_line(row["document"]), (one_line(row["summary"]),)) for row in articles]


def read_articles(path: Path) -> list[Article]:
    """The articles of a jsonl file."""
    articles: list[Article] = []
    for line, cells in read_rows(path):
        try:
            article = {name: text_of(cells.get(name)) for name in (*COLUMNS, "url")}
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
        if missing := [name for name in COLUMNS if not article[name]]:
            raise ValueError(f"{path}, line {line}: no {missing[0]}; an article has document, summary and id")
        articles.append(article)
    return articles


def check_ids(parts: Mapping[str, Sequence[Article]], root: Path) -> None:
    """Raises ValueError for the first article that the official split has elsewhere; passes where it is not at hand."""
    path = find_file(root, OFFICIAL)
    if path is None:
        return
    official = {split: set(ids) for split, ids in read_json(path, dict[str, list[str]]).items()}
    for split, part in parts.items():
        strangers = [row["id"] for row in part if row["id"] not in official.get(split, ())]
        if strangers:
            raise ValueError(f"data.{split} has the article {strangers[0]}, which {path.name} has not in {split}")


def by_topic(articles: Sequence[Article], is_part: IsPart, split: str) -> list[Article]:
    """The articles of a part; raises ValueError where an article has no URL."""
    for row in articles:
        if not row.get("url"):
            raise ValueError(
                f"data.split={split} goes by the articles' URLs, and the article {row['id']} has none; add a "
                "column url (XSum-WebArxiveUrls-BBCids.txt in https://github.com/EdinburghNLP/XSum has them by id)"
            )
    return [row for row in articles if is_part(*topic_and_section(row["url"]))]


def topic_and_section(url: str) -> tuple[str, str]:
    """Topic and section of an article: of ".../news/uk-england-123" news and uk, of ".../sport/football/1" sport."""
    found = re.search(r"bbc\.co(?:\.uk|m)(?::\d+)?/(?:[a-z0-9]+/hi/)?(news|sport)/(?:0/)?([a-z]*)", url)
    return (found[1], found[2]) if found else ("", "")


def one_line(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
