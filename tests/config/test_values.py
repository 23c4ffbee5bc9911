"""peft_cli.config.values: values against annotations, and the one form that each has."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import MinLen
from omegaconf import OmegaConf
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from peft_cli.config.targets import resolve
from peft_cli.config.values import check, check_value, expand_paths, normalise

Init = Literal["random", "vocabulary", "text"]

FIT = [
    (1, int),
    (-1, int),
    (None, int | None),
    (1, float),
    (5e-4, float),
    (1, PositiveFloat),
    (0, NonNegativeInt),
    (0.0, NonNegativeFloat),
    (True, bool),
    ("text", Init),
    (None, Init | None),
    ("", str),
    (["query", "value"], list[str]),
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
    ([1.0, math.nan], list[float], "k=[1.0, nan] is not possible: each item has to be a finite number"),
    ([], Annotated[list[str], MinLen(1)], "k=[] is not possible: it has to be a list of at least 1"),
    ("", Annotated[str, MinLen(1)], "k= is not possible: it has to be text of at least 1 characters"),
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


def test_a_key_is_named_as_it_is_typed():
    with pytest.raises(ValueError, match=r"^method.length=0 is not possible: it has to be greater than 0$"):
        check({"length": 0}, Method, "method")


@pytest.mark.parametrize("key", ["foo", "backbone"])
def test_a_key_that_is_no_setting_is_refused_with_those_there_are(key):
    with pytest.raises(ValueError, match=f"^method has no key {key}; it has length, lr, extra$"):
        check({key: 1}, Method, "method")


def test_a_top_level_key_has_no_prefix():
    with pytest.raises(ValueError, match=r"^lr=-1 is not possible"):
        check({"lr": -1}, Method, "")


def test_a_function_that_takes_any_key_gets_any_key():
    check({"length": 1, "foo": object()}, takes_any_key, "method")


@pytest.mark.parametrize("path", sorted((CONF / "method").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_methods_own_settings_pass(path):
    arguments = OmegaConf.to_container(OmegaConf.load(path))
    check(arguments, resolve(arguments["_target_"], "method"), "method")


def test_a_mapping_is_a_value_too():
    def function(options: dict[str, Any]): ...

    check({"options": {"r": 8}}, function, "method")
    with pytest.raises(ValueError, match=r"method\.options=3 is not possible: it has to be a mapping"):
        check({"options": 3}, function, "method")


DEFAULTS = {"clip": 1.0, "steps": 400, "limit": None, "scale": None, "options": {"alpha": 0.5}, "flag": False}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("clip", 1, 1.0),
        ("clip", 1.0, 1.0),
        ("clip", -0.0, 0.0),
        ("clip", None, None),
        ("steps", 400.0, 400),
        ("steps", 2.5, 2.5),
        ("limit", 3.0, 3),
        ("limit", 1e400, math.inf),
        ("scale", [0.0, 5], [0, 5]),
        ("options", {"alpha": 1, "r": 8.0}, {"alpha": 1.0, "r": 8}),
        ("flag", True, True),
        ("clip", 10**400, 10**400),
        ("steps", "400.0", "400.0"),
    ],
)
def test_a_number_has_one_form_however_it_is_spelled(key, value, expected):
    assert repr(normalise({key: value}, DEFAULTS)) == repr({key: expected})


def test_not_a_number_stays_so():
    assert math.isnan(normalise(math.nan, 1.0)) and math.isnan(normalise(math.nan, None))


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}={path.stem}")
def test_defaults_are_in_their_one_form(path):
    """Or the configuration of a run would depend on whether a value was typed or was the default."""
    defaults = OmegaConf.to_container(OmegaConf.load(path))
    assert repr(normalise(defaults, defaults)) == repr(defaults)


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("", "runs", "~/x/", str(Path.home() / "x")),
        ("", "runs", "~", str(Path.home())),
        ("", "runs", "./a//b", "a/b"),
        ("", "runs", "~nobody/x", "~nobody/x"),
        ("", "runs", "", ""),
        ("", "init_from", ["~/a", "b/"], [str(Path.home() / "a"), "b"]),
        ("", "init_from", None, None),
        ("backbone", "name", "~/model", str(Path.home() / "model")),
        ("backbone", "name", "openai-community/gpt2", "openai-community/gpt2"),
        ("data", "train", "~/a.csv", str(Path.home() / "a.csv")),
        ("data", "where", "~/a.csv", "~/a.csv"),
        ("method", "text", "~/a/", "~/a/"),
    ],
)
def test_a_path_has_one_form_and_no_tilde(section, key, value, expected):
    config = {"runs": "runs", "init_from": None, "backbone": {}, "data": {}, "method": {}}
    (config[section] if section else config)[key] = value
    paths = expand_paths(config)
    assert (paths[section] if section else paths)[key] == expected
