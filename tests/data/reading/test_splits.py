import pytest
import torch

from peft_cli.data import Example
from peft_cli.data.reading.splits import split_examples


def some(name: str, count: int) -> list[Example]:
    return [Example(f"{name}-{i}", "text", ("yes",)) for i in range(count)]


def ids(*parts) -> list[str]:
    return [example.id for part in parts for example in part]


def test_halves_are_those_of_depts_code():
    # https://github.com/ZhengxiangShi/DePT, src/tasks.py: randperm by seed 42, the first half validates
    order = torch.randperm(277, generator=torch.Generator().manual_seed(42)).tolist()
    train, validation, test = split_examples("halves", some("train", 5), some("validation", 277), [])
    assert ids(train) == ids(some("train", 5)) and (len(validation), len(test)) == (138, 139)
    assert ids(validation, test) == [f"validation-{i}" for i in order]


def test_large_sets_validate_on_1000_training_examples_and_test_on_the_validation_split():
    train, validation, test = split_examples("from_train", some("train", 3000), some("validation", 8), [])
    assert (len(train), len(validation)) == (2000, 1000) and ids(test) == ids(some("validation", 8))
    assert sorted(ids(train, validation)) == sorted(ids(some("train", 3000)))


def test_a_labelled_test_split_stays_the_test_split():
    assert ids(split_examples("from_train", some("train", 1001), [], some("test", 2))[2]) == ["test-0", "test-1"]


def test_holdout_takes_test_and_validation_from_one_file():
    parts = split_examples("holdout", some("train", 3775), [], [])
    assert [len(part) for part in parts] == [775, 1000, 2000] and len(set(ids(*parts))) == 3775


@pytest.mark.parametrize(
    ("split", "sizes", "sentence"),
    [
        ("official", (3, 3, 0), "data.split=official needs labelled test examples and there are none"),
        ("halves", (3, 0, 3), "data.split=halves needs validation examples"),
        ("from_train", (900, 3, 0), "needs more than 1000 training examples"),
        ("holdout", (2500, 0, 0), "needs more than 3000 training examples"),
    ],
)
def test_a_rule_without_what_it_needs_is_refused(split, sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        split_examples(split, *(some(name, n) for name, n in zip(("train", "validation", "test"), sizes, strict=True)))
