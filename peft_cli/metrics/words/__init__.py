"""Words of texts, as METEOR, ROUGE_L, CIDEr and pyter's TER read them, and their n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from peft_cli.metrics.protocols import Protocol, collapse_whitespace
from peft_cli.metrics.words.jars import missing_packages


def split_words(
    predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol
) -> tuple[list[list[str]], list[list[list[str]]], str]:
    """The words of predictions and references, and the name of their tokenizer: ptb, py, nltk or spaces.

    Where a protocol needs the Penn Treebank tokenizer and the extra nlg-java is not installed, "py" approximates it.
    Signatures contain the name.
    """
    texts = [*predictions, *(ref for several in references for ref in several)]
    words, name = split_texts(tuple(map(collapse_whitespace, texts)), protocol.words)
    rest = iter(words)
    hyps = [next(rest) for _ in predictions]
    return hyps, [[next(rest) for _ in several] for several in references], name


@lru_cache(maxsize=1)  # ROUGE_L, CIDEr and METEOR of one run read the same words
def split_texts(texts: tuple[str, ...], tokenizer: str) -> tuple[list[list[str]], str]:
    """The words of each text, and the name of the tokenizer that was used."""
    if tokenizer == "spaces":
        return [text.split() for text in texts], tokenizer
    if tokenizer == "nltk":
        from nltk.tokenize import NLTKWordTokenizer

        return [NLTKWordTokenizer().tokenize(text) for text in texts], tokenizer
    if missing_packages():
        from peft_cli.metrics.words.like_ptb import like_ptb

        return [like_ptb(text) for text in texts], "py"
    from peft_cli.metrics.words.ptb import ptb

    return ptb(texts), tokenizer


def count_n_grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram of one to `order` words occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1))
