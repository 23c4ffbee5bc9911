"""Words of texts, as METEOR, ROUGE_L, CIDEr and pyter's TER read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from peft_cli.metrics.protocols import Protocol, one_line


def split(
    predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol
) -> tuple[list[list[str]], list[list[list[str]]], str]:
    """The words of predictions and references, and the name of what split them: ptb, py, nltk or spaces.

    Where a protocol asks for the words of the Penn Treebank tokenizer and the extra nlg-java is not installed, "py"
    comes close to them, and every signature says which it was.
    """
    texts = [*map(one_line, predictions), *(one_line(ref) for several in references for ref in several)]
    words, name = split_all(tuple(texts), protocol.words)
    rest: Iterator[list[str]] = iter(words)
    hyps = [next(rest) for _ in predictions]
    return hyps, [[next(rest) for _ in several] for several in references], name


@lru_cache(maxsize=1)  # ROUGE_L, CIDEr and METEOR of one run read the same words
def split_all(texts: tuple[str, ...], how: str) -> tuple[list[list[str]], str]:
    """The words of each text, and the name of what split them."""
    from peft_cli.metrics.words.jars import lacking

    if how == "spaces":
        return [text.split() for text in texts], how
    if how == "nltk":
        from nltk.tokenize import NLTKWordTokenizer

        return [NLTKWordTokenizer().tokenize(text) for text in texts], how
    if lacking():
        from peft_cli.metrics.words.like_ptb import like_ptb

        return [like_ptb(text) for text in texts], "py"
    from peft_cli.metrics.words.ptb import ptb

    return ptb(texts), how
