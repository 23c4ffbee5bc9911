"""What a user may ask for: the options and keys there are, and values that fit. Anything else is a ValueError.

Its one sentence says what was asked, what there is and, where it helps, what to do.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from pydantic import ValidationError

PACKAGE = Path(__file__).parents[1]
HYDRAS_OWN = r"\+*hydra[./]"  # how overrides of Hydra's own keys begin
PHRASES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}  # pydantic's error type -> what follows "it has to be"


# Values


def check(arguments: Mapping, function: Callable, name: str) -> None:
    """Raise ValueError unless every argument is a parameter of a function and fits its annotation.

    `name` is the group of keys as users type it ("method"), "" for the top level. Keys that start with "_"
    and parameters without an annotation are passed over.
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    annotations = {key: parameter.annotation for key, parameter in parameters.items()}
    takes_any_key = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in arguments.items():
        annotation = annotations.get(key, type)  # no configuration can fill a `type`
        if key.startswith("_") or annotation is inspect.Parameter.empty:
            continue
        if is_plain(annotation):
            check_value(value, annotation, f"{name}.{key}" if name else key)
        elif not takes_any_key:
            keys = [key for key in annotations if is_plain(annotations[key])]
            raise ValueError(f"{name or 'the configuration'} has no key {key}; {listed('it has', key, keys)}")


def check_value(value: Any, annotation: Any, key: str) -> None:
    """Raise ValueError unless a value fits an annotation; `key` is the value's name as users type it."""
    from pydantic import TypeAdapter, ValidationError

    if isinstance(value, Sequence) and not isinstance(value, str):
        value = list(value)  # OmegaConf has its own kind of list
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}={value} is not possible: it has to be a finite number")
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        # from None: pydantic's own page says the same in more words.
        raise ValueError(f"{key}={spelled(value)} is not possible: {demand(error, annotation)}") from None


def resolve(target: str) -> Callable:
    """Return the function or class of a dotted name inside this package.

    Raises ValueError for a name that is outside of the package or that does not exist.
    """
    module, _, attribute = str(target).rpartition(".")
    if not f"{module}.".startswith("peft_cli."):
        raise ValueError(f"_target_={target} is not possible: it has to be a name inside peft_cli")
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there and needs a library that is not
        raise ValueError(f"_target_={target} is not possible: there is no module {error.name}") from None
    if not callable(found) or not f"{found.__module__}.".startswith("peft_cli."):
        raise ValueError(f"_target_={target} is not possible: {module} has no function or class {attribute}")
    return found


def is_plain(annotation: Any) -> bool:
    """Tell whether a configuration can fill an annotation: numbers, text, choices, lists of these."""
    if parts := get_args(annotation):
        return all(map(is_plain, parts))
    return not isinstance(annotation, type) or annotation in (int, float, bool, str, Any, NoneType)


def demand(error: ValidationError, annotation: Any) -> str:
    """Return what a value has to be, from pydantic's errors about it."""
    details = error.errors(include_url=False)
    phrases = [PHRASES.get(detail["type"], detail["msg"]).format(**detail.get("ctx", {})) for detail in details]
    concerns_item = any(isinstance(place, int) for place in details[0]["loc"])
    if NoneType in get_args(annotation) and not concerns_item:
        phrases.append("null")
    choices = " or ".join(dict.fromkeys(phrases)).replace("'", "")
    return f"{'each item' if concerns_item else 'it'} has to be {choices}"


def spelled(value: Any) -> str:
    """Return a value as users type it; text that reads as a number has quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {spelled(one)}' for key, one in value.items())}}}"
    reads_as_number = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.IGNORECASE)
    return repr(value) if reads_as_number else str(value)


# Overrides


def accept(override: str, is_sweep: bool) -> tuple[str, str]:
    """Return an override as Hydra takes it, and the same with only the first of its values.

    Raises ValueError for one that cannot be read, removes or moves something, has several values outside of
    a sweep, or asks for an option that is not there.
    """
    if re.match(HYDRAS_OWN, override):
        return override, override
    if override.startswith("~") or "@" in override.partition("=")[0]:
        raise ValueError(f"{override} is not possible: a key or group can be set, but not removed or moved")
    key, values = read(override.lstrip("+"))
    if len(values) > 1 and not is_sweep:
        raise ValueError(f"{override} asks for several runs; add -m to run each, or quote a value that has a comma")
    names = [value.strip(" '\"") for value in values]
    if key == "experiment":
        return accept_experiment(override, names)
    for name in names if key in groups() else []:
        check_option(key, name)
    return override.lstrip("+"), f"{key}={values[0]}"


def read(override: str) -> tuple[str, list[str]]:
    """Return the key and the values of an override; several values are a sweep."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    try:
        (asked,) = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([override])
        values = list(asked.sweep_string_iterator()) if asked.is_sweep_override() else [value]
    except HydraException:
        values = []
    if not (key and value.strip() and values):
        raise ValueError(unreadable(override))
    return key, values


def unreadable(override: str) -> str:
    """Return the sentence about an override that Hydra's grammar has no place for."""
    hint = "a value with a space, comma or bracket goes in quotes"
    return f"'{override}' cannot be read as key=value, as in shots=50; {hint}"


def accept_experiment(override: str, names: list[str]) -> tuple[str, str]:
    """Return the override for an experiment after its file was handed to Hydra."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    name = names[0]
    if len(names) > 1:
        raise ValueError(f"{override} is not possible: one experiment runs at a time")
    check_option("experiment", name)
    node = OmegaConf.load(folder("experiments") / f"{name}.yaml")
    node.pop("settings", None)  # `settings` reads them for each run
    ConfigStore.instance().store(group="experiment", name=name, node=node, package="_global_")
    return f"+experiment={name}", f"+experiment={name}"


def settings(experiment: str, choices: Mapping[str, str], overrides: Iterable[str]) -> list[str]:
    """Return the overrides that an experiment has for some choices of options, but for keys that are overridden.

    They stand in its file as `settings: {"method=pt": {method.lr: 0.3}}`; several choices have a comma between them.
    Raises ValueError for a choice that cannot be.
    """
    from omegaconf import OmegaConf

    path = folder("experiments") / f"{experiment}.yaml"
    overridden = {override.partition("=")[0] for override in overrides}
    found: dict[str, str] = {}
    for condition, values in OmegaConf.to_container(OmegaConf.load(path)).get("settings", {}).items():
        wanted = dict(choice.strip().partition("=")[::2] for choice in condition.split(","))
        for group, option in wanted.items():
            if group not in groups():
                raise ValueError(f"{path}: settings has {condition}; {listed('there are', group, groups())}")
            check_option(group, option)
        if all(choices[group] == option for group, option in wanted.items()):
            found |= {key: f"{key}={spelled(value)}" for key, value in values.items() if key not in overridden}
    return list(found.values())


# What there is


def groups() -> dict[str, str]:
    """Return the default option of each group, from the defaults in config.yaml."""
    return dict(re.findall(r"^  - (\w+): (\S+)", config_text(), re.MULTILINE))


def options(group: str) -> dict[str, str]:
    """Return the options of a group, each with the first comment line of its file; `experiment` is one too."""
    home = folder("experiments") if group == "experiment" else folder("conf") / group
    texts = {file.stem: file.read_text(encoding="utf-8") for file in home.glob("*.yaml")}
    return {name: "".join(re.findall(r"^# ([^@\n]+)", texts[name], re.MULTILINE)[:1]) for name in sorted(texts)}


def config_text() -> str:
    """Return the text of conf/config.yaml."""
    return (folder("conf") / "config.yaml").read_text(encoding="utf-8")


def folder(name: str) -> Path:
    """Return the folder of configurations inside the installed package or, in a checkout, beside it."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


def check_option(group: str, option: str) -> None:
    """Raise ValueError unless a group has an option."""
    names = options(group)
    if option not in names:
        raise ValueError(f"there is no {group}={option}; {listed('there are', option, names)}")


def check_key(key: str, base: DictConfig) -> None:
    """Raise ValueError unless a dotted key is one of a configuration's."""
    head, _, tail = key.partition(".")
    heads = [name for name in base if name != "hydra"]
    if head not in heads:
        raise ValueError(f"there is no key {head}; {listed('there are', head, heads)}")
    if bool(tail) != (head in groups()):
        raise ValueError(f"there is no value {key}; {head} is {'a single value' if tail else 'a group of them'}")
    if tail and tail not in list(base[head]):  # `in` passes over a value that is missing
        names = [name for name in base[head] if not name.startswith("_")]
        choice = f"{head}={base.hydra.runtime.choices[head]}"
        raise ValueError(f"{choice} has no key {tail}; {listed('it has', tail, names)}")


def check_keys(overrides: list[str], plain: Callable) -> None:
    """Raise ValueError for the first override of a key that there is not; `plain` is Hydra's composition."""
    is_choice = re.compile(rf"({'|'.join(groups())}|\+experiment)=").match
    base = declared(plain, tuple(filter(is_choice, overrides)))
    for override in overrides:
        if not re.match(HYDRAS_OWN, override) and not is_choice(override):
            check_key(override.partition("=")[0], base)


def check_experiment(cfg: DictConfig, plain: Callable) -> None:
    """Raise ValueError if an experiment's file brought a key that its choices have not got."""
    choices = cfg.hydra.runtime.choices
    base = declared(plain, tuple(f"{group}={choices[group]}" for group in groups()))
    for key, _ in leaves(own(cfg, resolve=False)):
        head, *rest = key.split(".")
        try:
            check_key(".".join([head, *rest[:1]]) if head in groups() else head, base)
        except ValueError as error:
            raise ValueError(f"{folder('experiments') / choices.experiment}.yaml: {error}") from None


def check_content(cfg: DictConfig, is_complete: bool) -> None:
    """Raise ValueError for a target outside this package and, in what has to be complete, for a missing value."""
    for key, value in leaves(own(cfg, resolve=True)):
        if key.endswith("_target_") and not str(value).startswith("peft_cli."):
            raise ValueError(f"{key}={value} is not possible: it has to be a name inside peft_cli")
        if value == "???" and is_complete:
            raise ValueError(f"{key} has no value; add {key}=... to the command")


@cache
def declared(plain: Callable, choices: tuple[str, ...]) -> DictConfig:
    """Return the configuration of some choices, with every key there is."""
    from hydra.types import RunMode

    return plain(config_name="config", overrides=list(choices), run_mode=RunMode.RUN)


def own(cfg: DictConfig, resolve: bool) -> dict:
    """Return a configuration as a plain dict without Hydra's part."""
    from omegaconf import OmegaConf

    ours = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
    return OmegaConf.to_container(ours, resolve=resolve)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value in nested mappings and lists, with its dotted key."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def listed(beginning: str, name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that lists names, and the one that is close to a wrong name."""
    from difflib import get_close_matches

    nearest = get_close_matches(name, names, 1)
    return f"{beginning} {', '.join(names) or 'none'}" + (f"; did you mean {nearest[0]}?" if nearest else "")
