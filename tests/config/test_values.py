"""peft_cli.config.check: values against annotations, and targets."""

import math
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from peft_cli.config.check import check, check_value, resolve

Init = Literal["random", "vocabulary", "text"]

FIT = [
    (1, int),
    (-1, int),
    (None, int | None),
    (1, float),
    (5e-4, float),
    (OmegaConf.create("a: 5e-4").a, float),
    (1, PositiveFloat),
    (0, NonNegativeInt),
    (0.0, NonNegativeFloat),
    (True, bool),
    ("text", Init),
    (None, Init | None),
    ("", str),
    (["query", "value"], list[str]),
    (OmegaConf.create(["query"]), list[str]),
    (None, list[str] | None),
]

UNFIT = [
    ("abc", int, "k=abc is not possible: it has to be a whole number"),
    ("5", int, "k='5' is not possible: it has to be a whole number"),
    (True, int, "k=true is not possible: it has to be a whole number"),
    (2.0, int, "k=2.0 is not possible: it has to be a whole number"),
    (None, int, "k=null is not possible: it has to be a whole number"),
    ("x", int | None, "k=x is not possible: it has to be a whole number or null"),
    (0, PositiveInt, "k=0 is not possible: it has to be greater than 0"),
    (-1, NonNegativeInt, "k=-1 is not possible: it has to be at least 0"),
    (-1, PositiveFloat, "k=-1 is not possible: it has to be greater than 0"),
    (-0.5, NonNegativeFloat | None, "k=-0.5 is not possible: it has to be at least 0 or null"),
    ("5e-4", float, "k='5e-4' is not possible: it has to be a number"),
    (True, float, "k=true is not possible: it has to be a number"),
    (math.nan, float, "k=nan is not possible: it has to be a finite number"),
    (math.inf, PositiveFloat, "k=inf is not possible: it has to be a finite number"),
    (1, bool, "k=1 is not possible: it has to be true or false"),
    ("foo", Init, "k=foo is not possible: it has to be random, vocabulary or text"),
    (5, str, "k=5 is not possible: it has to be text"),
    ("query", list[str], "k=query is not possible: it has to be a list"),
    (["query", 3], list[str], "k=[query, 3] is not possible: each item has to be text"),
    ([1], int | str, "k=[1] is not possible: it has to be a whole number or text"),
]

CONF = Path(__file__).parents[2] / "conf"


class Method:
    def __init__(self, backbone: type, length: PositiveInt, lr: PositiveFloat = 0.1, *, extra=None):
        pass


def takes_any_key(length: int, **others: float):
    pass


@pytest.mark.parametrize(("value", "annotation"), FIT)
def test_a_value_fits_its_annotation(value, annotation):
    check_value(value, annotation, "k")


@pytest.mark.parametrize(("value", "annotation", "expected"), UNFIT)
def test_a_value_that_does_not_fit_is_refused_in_one_sentence(value, annotation, expected):
    with pytest.raises(ValueError) as error:
        check_value(value, annotation, "k")
    assert str(error.value) == expected


def test_keys_that_are_private_absent_or_without_annotation_are_passed_over():
    check({"_target_": "x", "extra": object()}, Method, "method")


def test_a_configuration_of_omegaconf_is_checked_as_a_dict_is():
    check(OmegaConf.create({"length": 3}), Method, "method")
    with pytest.raises(ValueError, match=r"^method.length=0 is not possible: it has to be greater than 0$"):
        check(OmegaConf.create({"length": 0}), Method, "method")


@pytest.mark.parametrize("key", ["foo", "backbone"])
def test_a_key_that_is_no_setting_is_refused_with_those_there_are(key):
    with pytest.raises(ValueError, match=f"^method has no key {key}; it has length, lr$"):
        check({key: 1}, Method, "method")


def test_a_top_level_key_has_no_prefix():
    with pytest.raises(ValueError, match=r"^lr=-1 is not possible"):
        check({"lr": -1}, Method, "")


def test_a_function_that_takes_any_key_gets_any_key():
    check({"length": 1, "foo": object()}, takes_any_key, "method")


def test_a_target_inside_the_package_is_found():
    assert resolve("peft_cli.config.check.check") is check


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("os.system", "has to be a name inside peft_cli"),
        ("peft_climate.x", "has to be a name inside peft_cli"),
        ("check", "has to be a name inside peft_cli"),
        ("peft_cli.absent.f", "there is no module peft_cli.absent"),
        ("peft_cli.config.check.absent", "peft_cli.config.check has no function or class absent"),
        ("peft_cli.config.check.Path", "peft_cli.config.check has no function or class Path"),
        ("peft_cli.config.check.PHRASES", "peft_cli.config.check has no function or class PHRASES"),
        (None, "has to be a name inside peft_cli"),
    ],
)
def test_a_target_that_is_not_in_the_package_is_refused(target, hint):
    with pytest.raises(ValueError, match=hint):
        resolve(target)


@pytest.mark.parametrize("path", sorted((CONF / "method").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_methods_own_settings_pass(path):
    arguments = OmegaConf.to_container(OmegaConf.load(path))
    check(arguments, resolve(arguments["_target_"]), "method")


def test_a_mapping_is_a_value_too():
    def function(options: dict[str, Any]): ...

    check({"options": {"r": 8}}, function, "method")
    with pytest.raises(ValueError, match=r"method\.options=3 is not possible: it has to be a mapping"):
        check({"options": 3}, function, "method")
