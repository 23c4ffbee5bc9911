"""Whether the Hugging Face hub can be reached; checked once in a process, as each try may take seconds."""

from __future__ import annotations

from functools import cache
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SECONDS = 5  # to wait for the hub's first answer


@cache
def is_reachable() -> bool:
    """Whether the hub can be reached; where it cannot, its cache is read at once instead of after many tries."""
    from huggingface_hub.constants import ENDPOINT

    try:
        urlopen(Request(ENDPOINT, method="HEAD"), timeout=SECONDS).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True
