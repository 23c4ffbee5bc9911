import pytest

from peft_cli.data import Data, Example, few_shot, fingerprint


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
