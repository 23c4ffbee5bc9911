"""The draw of a run's examples: which, how many, of which classes, and that nothing leaks."""

from collections import Counter
from dataclasses import replace

import pytest

from peft_cli.data import Data, Example, few_shot


def make(train=300, validation=100, test=50, **fields) -> Data:
    """A data set of free text in which each example has a source of its own."""
    sizes = {"train": train, "validation": validation, "test": test}
    splits = [[Example(f"{name}-{i}", f"{name} {i}", ("text",)) for i in range(n)] for name, n in sizes.items()]
    return Data(*splits, metrics=("bleu",), **fields)


def with_classes(*counts: int, validation: bool = True) -> Data:
    """A data set with so many training and validation examples of each class, each with a source of its own."""
    labels = tuple("abcd"[: len(counts)])
    rows = [(label, i) for label, count in zip(labels, counts, strict=True) for i in range(count)]
    train, held_out, test = (
        [Example(f"{split}-{label}{i}", f"{split} {label}{i}", (label,)) for label, i in rows]
        for split in ("train", "validation", "test")
    )
    return Data(train, held_out if validation else [], test, metrics=("accuracy",), labels=labels)


def with_targets(n_sources: int, n_targets: int, labels: tuple[str, ...] = ()) -> Data:
    """A data set without a validation split, in which each source has several targets, or of all labels."""
    train = [
        Example(f"train-{n_targets * i + j}", f"source {i}", (labels[j % len(labels)] if labels else f"target {j}",))
        for i in range(n_sources)
        for j in range(n_targets)
    ]
    return Data(train, [], train[:2], metrics=("bleu",), labels=labels)


def ids(examples) -> list[str]:
    return [example.id for example in examples]


def sources(examples) -> set[str]:
    return {example.source for example in examples}


def counts(examples) -> dict[str, int]:
    return dict(Counter(example.references[0] for example in examples))


# Which


def test_a_draw_depends_on_data_seed_alone():
    first, again, other = (few_shot(make(), 50, seed, None) for seed in (1, 1, 2))
    assert ids(first.train) == ids(again.train) != ids(other.train)
    assert ids(first.validation) == ids(again.validation) != ids(other.validation)


def test_a_draw_is_the_same_on_every_machine():
    # python3.11 -c 'from random import Random; print(Random("train/0").sample(range(300), 300)[:3])', and
    # the same of "validation/0" and 100, "train/0/a" and "train/0/b" and 9
    drawn = few_shot(make(), 3, 0, None)
    assert ids(drawn.train) == ["train-41", "train-141", "train-200"]
    assert ids(drawn.validation)[:3] == ["validation-8", "validation-54", "validation-11"]
    classes = few_shot(with_classes(9, 9), 2, 0, None, draw="per_class")
    assert ids(classes.train) == ["train-a4", "train-b8", "train-a7", "train-b7"]


def test_the_order_of_the_training_split_is_not_that_of_the_validation_split():
    drawn = few_shot(make(train=100, validation=100), 16, 0, None)
    assert [one.id.split("-")[1] for one in drawn.train] != [one.id.split("-")[1] for one in drawn.validation]


@pytest.mark.parametrize("draw", ["any", "balanced", "per_class"])
def test_a_smaller_draw_is_the_beginning_of_a_larger_one(draw):
    small, large = (few_shot(with_classes(60, 50), shots, 3, None, draw=draw) for shots in (4, 40))
    assert ids(large.train)[: len(small.train)] == ids(small.train)


def test_without_a_validation_split_too_a_smaller_draw_is_the_beginning_of_a_larger_one():
    small, large = (few_shot(with_targets(12, 5), shots, 3, None) for shots in (10, 50))
    assert ids(large.train)[:10] == ids(small.train)


def test_a_limited_test_set_is_spread_evenly_and_has_no_seed():
    first, second = (few_shot(make(), 10, seed, 5).test for seed in (0, 1))
    assert ids(first) == ids(second) == ["test-0", "test-10", "test-20", "test-30", "test-40"]


def test_what_is_not_drawn_stays_as_it_is():
    data = make(protocol="e2e", notes={"origin": "files"})
    drawn = few_shot(data, 5, 0, None)
    assert (drawn.protocol, drawn.metrics, drawn.notes["origin"]) == ("e2e", ("bleu",), "files")
    assert drawn.test == data.test


# How many


@pytest.mark.parametrize(("shots", "expected"), [(0, 0), (10, 16), (50, 16), (100, 30), (200, 60)])
def test_validation_has_three_tenths_of_the_shots_and_at_least_16(shots, expected):
    drawn = few_shot(make(), shots, 0, None)
    assert (len(drawn.train), len(drawn.validation)) == (shots, expected)


def test_validation_takes_what_there_is():
    assert len(few_shot(make(validation=5), 50, 0, None).validation) == 5


def test_as_many_can_validate_as_train():
    assert len(few_shot(make(), 20, 0, None, validation="same").validation) == 20


def test_all_validation_examples_can_validate_in_their_order():
    assert ids(few_shot(make(), 20, 0, None, validation="all").validation) == ids(make().validation)


def test_null_takes_everything_in_its_order():
    data = few_shot(make(), None, 0, None)
    assert [ids(part) for part in (data.train, data.validation, data.test)] == [
        ids(part) for part in (make().train, make().validation, make().test)
    ]


def test_all_training_examples_can_be_drawn_and_no_more():
    assert len(few_shot(make(), 300, 0, None).train) == 300
    with pytest.raises(ValueError, match="shots=301 asks for more than the 300 training examples there are"):
        few_shot(make(), 301, 0, None)


def test_null_asks_for_training_examples():
    with pytest.raises(ValueError, match="shots=null asks for more than the 0 training examples there are"):
        few_shot(make(train=0), None, 0, None)


def test_all_test_examples_can_be_asked_for_and_no_more():
    assert len(few_shot(make(), 10, 0, 50).test) == 50
    with pytest.raises(ValueError, match="test_limit=51 asks for more than the 50 test examples there are"):
        few_shot(make(), 10, 0, 51)


def test_an_untouched_backbone_needs_no_training_examples():
    drawn = few_shot(make(train=0), 0, 0, None)
    assert (list(drawn.train), drawn.validation, len(drawn.test)) == ([], [], 50)


# Classes


@pytest.mark.parametrize(("shots", "drawn"), [(3, 3), (4, 4), (5, 3), (30, 30), (31, 31), (32, 30)])
def test_balanced_shots_are_those_of_depts_loop(shots, drawn):
    # https://github.com/ZhengxiangShi/DePT, train.py: shots // classes of each, and one more where one is lacking
    found = counts(few_shot(with_classes(16, 20, 40), shots, 0, None, draw="balanced").train)
    assert sum(found.values()) == drawn
    assert sorted(found.values()) == [drawn // 3, drawn // 3, drawn - 2 * (drawn // 3)]


@pytest.mark.parametrize("validation", ["same", "share"])
def test_shots_per_class_are_shots_of_each_class_and_validation_can_be_the_same(validation):
    drawn = few_shot(with_classes(40, 30, 20), 16, 0, None, draw="per_class", validation=validation)
    assert counts(drawn.train) == {"a": 16, "b": 16, "c": 16}
    is_same = counts(drawn.validation) == {"a": 16, "b": 16, "c": 16}
    assert is_same if validation == "same" else len(drawn.validation) == 16


def test_classes_take_turns_in_the_order_of_the_labels():
    drawn = few_shot(with_classes(9, 9, 9), 2, 0, None, draw="per_class")
    assert [one.references[0] for one in drawn.train] == ["a", "b", "c", "a", "b", "c"]


def test_a_class_may_give_all_that_it_has():
    assert counts(few_shot(with_classes(9, 3), 3, 0, None, draw="per_class").train) == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("draw", "shots", "sentence"),
    [
        ("per_class", 5, "shots=5 draw=per_class asks for 5 of each of the 2 classes, and there are 3 training "
                         "examples of the class 'b'"),
        ("balanced", 8, "shots=8 draw=balanced asks for 4 of each of the 2 classes, and there are 3"),
        ("balanced", 1, "shots=1 draw=balanced asks for 0 of each of the 2 classes"),
    ],
)  # fmt: skip
def test_a_class_with_too_few_examples_is_named(draw, shots, sentence):
    with pytest.raises(ValueError, match=sentence):
        few_shot(with_classes(9, 3), shots, 0, None, draw=draw)


@pytest.mark.parametrize("draw", ["balanced", "per_class"])
def test_classes_draw_nothing_for_the_untouched_backbone(draw):
    assert list(few_shot(with_classes(9, 3), 0, 0, None, draw=draw).train) == []


@pytest.mark.parametrize("draw", ["balanced", "per_class"])
def test_without_classes_there_is_nothing_to_draw_from_each(draw):
    with pytest.raises(ValueError, match="draw from each class, and the data set has none; take any"):
        few_shot(make(), 5, 0, None, draw=draw)


def test_numbers_are_drawn_from_both_halves_of_their_scale():
    # up to the middle is low, as in DePT's and LM-BFF's code
    train = [Example(f"train-{i}", f"{i}", (str(i / 10),)) for i in range(51)]
    data = Data(train, train, train, ("pearson",), scale=(0, 5))
    drawn = few_shot(data, 25, 0, None, draw="per_class").train
    assert [float(one.references[0]) <= 2.5 for one in drawn] == [True, False] * 25
    assert "2.5" in {one.references[0] for one in few_shot(data, 50, 0, None, draw="balanced").train}


def test_a_negative_scale_has_a_middle_too():
    train = [Example(f"train-{i}", f"{i}", (str(i),)) for i in range(-4, 5)]
    drawn = few_shot(Data(train, [], train, ("pearson",), scale=(-4, 4)), 4, 0, None, draw="per_class").train
    assert sorted(float(one.references[0]) <= 0 for one in drawn) == [False] * 4 + [True] * 4


# Leaks


@pytest.mark.parametrize("validation", ["share", "same", "all"])
@pytest.mark.parametrize(("labels", "draw"), [((), "any"), (("a", "b"), "per_class"), (("a", "b"), "balanced")])
def test_validation_never_has_a_source_that_trains(validation, labels, draw):
    for seed in range(4):
        drawn = few_shot(with_targets(12, 5, labels), 10, seed, None, draw, validation)
        assert drawn.validation and not sources(drawn.train) & sources(drawn.validation)


@pytest.mark.parametrize("validation", ["share", "same", "all"])
def test_a_validation_split_loses_the_sources_that_train(validation):
    data = make(train=40, validation=40)
    shared = [replace(one, source=data.train[i].source) for i, one in enumerate(data.validation)]
    drawn = few_shot(replace(data, validation=shared), 20, 0, None, validation=validation)
    assert len(drawn.validation) == {"share": 16, "same": 20, "all": 20}[validation]
    assert not sources(drawn.train) & sources(drawn.validation)


def test_a_source_that_is_left_out_moves_no_other():
    data, shots = make(train=40), 10
    whole = few_shot(data, shots, 0, None)
    first = whole.validation[0].id
    shared = [replace(one, source=whole.train[0].source) if one.id == first else one for one in data.validation]
    drawn = few_shot(replace(data, validation=shared), shots, 0, None)
    assert ids(drawn.validation)[:15] == ids(whole.validation)[1:]


def test_all_training_examples_leave_no_source_that_validates_twice():
    data = with_targets(12, 5)
    assert few_shot(data, None, 0, None).validation == []
    shared = replace(data, validation=[data.train[0], Example("validation-1", "other", ("x",))])
    assert ids(few_shot(shared, None, 0, None).validation) == ["validation-1"]


def test_without_a_validation_split_some_sources_are_drawn_last():
    # three of twelve sources, as 0.3 / 1.3 of them; as many targets train as the other nine have
    drawn = few_shot(with_targets(12, 5), 45, 0, None)
    assert len(sources(drawn.train)) == 9 and len(drawn.validation) == 15
    assert len(few_shot(with_targets(12, 5), 60, 0, None).train) == 60


def test_with_a_validation_split_no_source_is_drawn_last():
    data = replace(with_targets(12, 5), validation=make().validation)
    assert len(sources(few_shot(data, 45, 0, None).train)) == 12


def test_where_each_source_is_its_own_what_is_left_validates():
    data = replace(make(train=60), validation=[])
    plain = ids(few_shot(make(train=60), 20, 0, None).train)
    for validation, expected in {"share": 16, "same": 20, "all": 40}.items():
        drawn = few_shot(data, 20, 0, None, validation=validation)
        assert ids(drawn.train) == plain and len(drawn.validation) == expected
        assert not set(ids(drawn.train)) & set(ids(drawn.validation))


def test_equal_classes_stay_equal_where_sources_are_drawn_last():
    data = with_targets(20, 4, labels=("a", "b"))
    assert counts(few_shot(data, 38, 0, None, draw="per_class").train) == {"a": 38, "b": 38}


def test_test_examples_whose_source_trains_are_counted():
    data = make(train=10, test=4)
    shared = [replace(one, source=data.train[0].source) if i < 3 else one for i, one in enumerate(data.test)]
    drawn = few_shot(replace(data, test=shared), 10, 0, None)
    assert drawn.notes == {"test_sources_in_training": 3}
    assert few_shot(data, 10, 0, None).notes == {"test_sources_in_training": 0}
    assert few_shot(replace(data, test=shared), 10, 0, 2).notes == {"test_sources_in_training": 2}


# Published draws

PUBLISHED = {(16, 13): (make().train[:2], make().validation[:3]), (16, 21): (make().train[2:4], [])}


def test_published_draws_are_taken_as_they_are():
    drawn = few_shot(make(train=0, validation=0, draws=PUBLISHED), 16, 13, 5)
    assert [ids(part) for part in (drawn.train, drawn.validation)] == [
        ["train-0", "train-1"],
        ["validation-0", "validation-1", "validation-2"],
    ]
    assert len(drawn.test) == 5


def test_published_draws_take_nothing_for_the_untouched_backbone():
    drawn = few_shot(make(train=0, validation=0, draws=PUBLISHED), 0, 0, None)
    assert (list(drawn.train), drawn.validation) == ([], [])


def test_published_validation_examples_whose_source_trains_are_left_out():
    train, validation = PUBLISHED[16, 13]
    draws = {(16, 13): (train, [replace(validation[0], source=train[1].source), *validation[1:]])}
    assert ids(few_shot(make(draws=draws), 16, 13, None).validation) == ["validation-1", "validation-2"]


@pytest.mark.parametrize(("shots", "typed"), [(50, "50"), (None, "null")])
def test_draws_that_were_not_published_are_refused_with_those_that_were(shots, typed):
    known = "shots=16 data_seed=13, shots=16 data_seed=21"
    sentence = f"shots={typed} data_seed=13 is none of the published draws; they are {known}"
    with pytest.raises(ValueError, match=sentence):
        few_shot(make(train=0, validation=0, draws=PUBLISHED), shots, 13, None)
