from collections import Counter
from dataclasses import replace

import pytest

from peft_cli.data import Data, Example, few_shot, fingerprint, subsets


def make(train=300, validation=100, test=50) -> Data:
    splits = {"train": train, "validation": validation, "test": test}
    return Data(
        *([Example(f"{name}-{i}", f"{name} {i}", ("text",)) for i in range(n)] for name, n in splits.items()),
        metrics=("bleu",),
    )


def ids(examples) -> list[str]:
    return [example.id for example in examples]


def test_a_draw_depends_on_data_seed_alone():
    first, again, other = (few_shot(make(), 50, seed, None) for seed in (1, 1, 2))
    assert ids(first.train) == ids(again.train) != ids(other.train)
    assert ids(first.validation) == ids(again.validation) != ids(other.validation)


def test_a_draw_is_the_same_on_every_machine():
    # python3.11 -c 'from random import Random; print(Random("train/0").sample(range(300), 300)[:3])'
    assert ids(few_shot(make(), 3, 0, None).train) == ["train-41", "train-141", "train-200"]


def test_a_smaller_draw_is_the_beginning_of_a_larger_one():
    small, large = (few_shot(make(), shots, 3, None) for shots in (10, 200))
    assert ids(large.train)[:10] == ids(small.train)


@pytest.mark.parametrize(("shots", "expected"), [(0, 0), (10, 16), (50, 16), (100, 30), (200, 60)])
def test_validation_has_three_tenths_of_the_shots_and_at_least_16(shots, expected):
    assert len(few_shot(make(), shots, 0, None).validation) == expected


def test_validation_takes_what_there_is():
    assert len(few_shot(make(validation=5), 50, 0, None).validation) == 5


def test_null_takes_everything_in_its_order():
    data = few_shot(make(), None, 0, None)
    assert ids(data.train) == ids(make().train) and len(data.validation) == 100 and len(data.test) == 50


def test_a_limited_test_set_is_spread_evenly_and_has_no_seed():
    first, second = (few_shot(make(), 10, seed, 5).test for seed in (0, 1))
    assert ids(first) == ids(second) == ["test-0", "test-10", "test-20", "test-30", "test-40"]


def test_more_shots_than_examples_are_refused():
    with pytest.raises(ValueError, match="shots=301 asks for more than the 300 training examples there are"):
        few_shot(make(), 301, 0, None)


def test_more_test_examples_than_there_are_are_refused():
    with pytest.raises(ValueError, match="test_limit=51 asks for more than the 50"):
        few_shot(make(), 10, 0, 51)


def test_a_fingerprint_tells_texts_apart():
    one, two = (Example("0", "a b", refs) for refs in (("c", "d"), ("c d",)))
    assert fingerprint([one]) != fingerprint([two])
    assert fingerprint([one]) == fingerprint([Example("1", "a b", ("c", "d"))])


def classes(*counts: int) -> Data:
    """A data set with so many training and validation examples of each class."""
    labels = tuple("abc"[: len(counts)])
    rows = [(label, i) for label, count in zip(labels, counts, strict=True) for i in range(count)]
    splits = (
        [Example(f"{split}-{label}{i}", f"{i}", (label,)) for label, i in rows] for split in ("train", "v", "test")
    )
    return Data(*splits, metrics=("accuracy",), labels=labels)


def counts(examples) -> dict[str, int]:
    return dict(Counter(example.references[0] for example in examples))


def test_balanced_shots_are_shots_in_all():
    # as Shi and Lipani: 4 examples of 3 classes are one of each, and one more
    assert counts(few_shot(classes(9, 9, 9), 4, 0, None, draw="balanced").train) == {"a": 2, "b": 1, "c": 1}
    assert counts(few_shot(classes(2, 9), 8, 0, None, draw="balanced").train) == {"a": 2, "b": 6}


def test_shots_per_class_are_shots_of_each_class_and_validation_can_be_the_same():
    drawn = few_shot(classes(40, 30, 20), 16, 0, None, draw="per_class", validation="same")
    assert counts(drawn.train) == counts(drawn.validation) == {"a": 16, "b": 16, "c": 16}


def test_a_smaller_draw_of_classes_is_the_beginning_of_a_larger_one():
    small, large = (few_shot(classes(40, 30), shots, 3, None, draw="per_class") for shots in (4, 16))
    assert ids(large.train)[:8] == ids(small.train)


def test_a_class_with_too_few_examples_is_named():
    with pytest.raises(
        ValueError, match="shots=5 draw=per_class asks for more than the 3 training examples of the class 'b'"
    ):
        few_shot(classes(9, 3), 5, 0, None, draw="per_class")


def test_without_classes_there_is_nothing_to_draw_from_each():
    with pytest.raises(ValueError, match="draw from each class, and the data set has none; take any"):
        few_shot(make(), 5, 0, None, draw="balanced")


def test_numbers_are_drawn_from_both_halves_of_their_scale():
    train = [Example(f"train-{i}", "", (str(i / 10),)) for i in range(51)]
    data = Data(train, train, train, ("pearson",), scale=(0, 5))
    drawn = few_shot(data, 8, 0, None, draw="per_class").train
    assert sum(float(e.references[0]) < 2.5 for e in drawn) == 8 and len(drawn) == 16


@pytest.mark.parametrize("validation", ["share", "same", "all"])
def test_without_a_validation_split_it_is_drawn_from_what_is_left_to_train(validation):
    data = replace(make(train=60), validation=[])
    drawn = few_shot(data, 20, 0, None, validation=validation)
    assert len(drawn.validation) == {"share": 16, "same": 20, "all": 40}[validation]
    assert not set(ids(drawn.train)) & set(ids(drawn.validation))
    assert {e.id.partition("-")[0] for e in drawn.validation} == {"train"}


def test_all_validation_examples_can_validate():
    assert len(few_shot(make(), 20, 0, None, validation="all").validation) == 100


def test_published_draws_are_taken_as_they_are():
    draws = {(16, 13): (make().train[:2], make().validation[:3])}
    data = replace(make(), train=[], validation=[], draws=draws)
    drawn = few_shot(data, 16, 13, 5)
    assert (len(drawn.train), len(drawn.validation), len(drawn.test)) == (2, 3, 5)
    assert few_shot(data, 0, 0, None).train == []
    with pytest.raises(
        ValueError, match="shots=50 data_seed=13 is none of the published draws; they are shots=16 data_"
    ):
        few_shot(data, 50, 13, None)


def test_subsets_are_told_by_their_places():
    examples = [Example(str(i), "", ("",), subset) for i, subset in enumerate(["seen", None, "unseen", "seen"])]
    assert subsets(examples) == {"seen": [0, 3], "unseen": [2]}
