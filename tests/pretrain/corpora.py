"""A corpus of the tests' own: a few hundred paragraphs of random common words."""

from functools import cache
from random import Random
from unittest import mock

from peft_cli.pretrain import architectures
from peft_cli.pretrain.corpus import Corpus
from peft_cli.pretrain.values import ONSETS, VOWELS

WORDS = [onset + vowel + "n" for onset in ONSETS for vowel in VOWELS]
RNG = Random(0)
BOOKS = [" ".join(RNG.choices(WORDS, k=40)).capitalize() + "." for _ in range(300)]
CORPUS = Corpus(BOOKS[10:], BOOKS[:10], WORDS)


@cache
def small_tokenizer(name: str):
    """The tokenizer of an embedded backbone, trained on a little of this corpus."""
    with mock.patch.multiple(architectures, TOKENIZER_PARAGRAPHS=100, TOKENIZER_DOCUMENTS=200):
        return architectures.train_tokenizer(architectures.ARCHITECTURES[name], CORPUS)
