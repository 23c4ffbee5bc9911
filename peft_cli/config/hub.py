"""Models and tokenizers of a local folder, or of the Hugging Face hub where it can be reached."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SECONDS = 5  # to wait for the hub's first answer


@cache
def is_reachable() -> bool:
    """Whether the hub can be reached, checked once in a process; where it cannot, its cache is read at once."""
    from huggingface_hub.constants import ENDPOINT

    try:
        urlopen(Request(ENDPOINT, method="HEAD"), timeout=SECONDS).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True


def from_pretrained(kind: Any, place: str, name: str, **options: Any) -> Any:
    """`kind.from_pretrained` without code from the checkpoint; raises ValueError where nothing can be loaded."""
    is_local = Path(place).is_dir() or not is_reachable()
    try:
        return kind.from_pretrained(place, local_files_only=is_local, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        if Path(place).is_dir():
            raise ValueError(
                f"backbone.name={name}: the folder holds no model that can be loaded ({first_line(error)})"
            ) from error
        raise ValueError(
            f"backbone.name={name} is no local folder and could not be had from the Hugging Face hub "
            f"({first_line(error)}); give the folder of a saved model, or one of the tiny-* backbones, which ship with "
            "this package"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error's message, without its full stop."""
    return str(error).strip().split("\n")[0].rstrip(". ")
