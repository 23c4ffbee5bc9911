"""What two SuperGLUE sets need before their objects are rows (Wang et al., 2019, https://arxiv.org/abs/1905.00537)."""

from __future__ import annotations

import re
from collections.abc import Iterator


def multirc(cells: dict) -> Iterator[dict]:
    """A row for each answer of each question about a passage, without the passage's marks of sentences."""
    passage = cells.get("passage")
    if not isinstance(passage, dict):  # the hub has a row for each answer
        yield {name: unmarked(value) if isinstance(value, str) else value for name, value in cells.items()}
        return
    for question in passage["questions"]:
        for answer in question["answers"]:
            texts = {"paragraph": passage["text"], "question": question["question"], "answer": answer["text"]}
            yield {name: unmarked(text) for name, text in texts.items()} | {"label": answer.get("label")}


def wsc(cells: dict) -> Iterator[dict]:
    """The row with * around the noun and # around the pronoun, as T5 has them (Raffel et al., 2020)."""
    cells = cells | cells.get("target", {})  # the hub has no inner object
    words = cells["text"].split()
    for mark, name in (("*", "span1"), ("#", "span2")):
        start, length = cells[f"{name}_index"], len(cells[f"{name}_text"].split())
        words[start] = f"{mark} {words[start]}"
        words[start + length - 1] += f" {mark}"
    yield cells | {"text": " ".join(words)}


def unmarked(text: str) -> str:
    """`text` without HTML's line breaks and bold type."""
    return re.sub(r"</?b>", "", text.replace("<br>", " "))
