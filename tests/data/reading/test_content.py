import hashlib
import json
from dataclasses import replace

import pytest

from peft_cli.data import Data, Example
from peft_cli.data.reading.content import content_hashes, fingerprint, subset_indices

ONE = Example("train-0", "a b", ("c", "d"))


def test_a_fingerprint_is_that_of_sha256sum():
    # printf '["a b", ["c", "d"]]\n["e", ["f"]]\n' | sha256sum
    text = '["a b", ["c", "d"]]\n["e", ["f"]]\n'
    assert fingerprint([ONE, Example("x", "e", ("f",))]) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "others",
    [
        [replace(ONE, references=("c d",))],
        [replace(ONE, references=("d", "c"))],
        [replace(ONE, source="a b c")],
        [replace(ONE, texts=("a", "b"))],
        [Example("", "a b", ("c",)), Example("", "d", ())],
        [ONE, ONE],
        [],
    ],
)
def test_other_texts_have_another_fingerprint(others):
    assert fingerprint(others) != fingerprint([ONE])


def test_two_examples_are_not_one_with_the_same_texts():
    apart = [Example("", "a", ("b",)), Example("", "c", ("d",))]
    assert fingerprint(apart) != fingerprint([Example("", "a", ("b", "c", "d"))])


def test_ids_and_parts_are_no_content():
    assert fingerprint([replace(ONE, id="test-7", subset="seen")]) == fingerprint([ONE])


def test_each_split_has_its_hash():
    hashes = content_hashes(Data([ONE], [], [ONE, ONE], ("bleu",)))
    assert hashes == {"train": fingerprint([ONE]), "validation": fingerprint([]), "test": fingerprint([ONE, ONE])}
    assert len(json.dumps(hashes)) > 3 * 64


def test_subsets_have_the_indices_of_their_examples():
    examples = [Example(str(i), "", ("",), subset) for i, subset in enumerate(["seen", None, "unseen", "seen"])]
    assert subset_indices(examples) == {"seen": [0, 3], "unseen": [2]}
