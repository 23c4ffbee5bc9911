"""peft_cli: which parameter-efficient method, with few examples, on this model and this task, and what does it cost?

    configuration -> data -> backbone -> method -> train -> evaluate -> result -> report
        config/      data/   backbone/  method/  train.py evaluate.py run_folder/ report/

The same line from Python, without the command:

    from peft_cli import build_method, few_shot, load_backbone, load_data, load_decoding, load_recipe
    from peft_cli import predict, score, train

    data = few_shot(load_data("mini"), shots=10, test_limit=20)
    backbone = load_backbone("tiny-gpt2")
    method = build_method("lora", backbone, rank=2)
    train(backbone, method, data.train, data.validation, load_recipe("few_shot", steps=20))
    texts = predict(backbone, method, data.test, load_decoding("greedy")).texts
    print(score(data.metrics, texts, [example.references for example in data.test]).values)

`run("method=lora", "shots=10")` does what `peft-run` does with these words and returns the result; `read_runs("runs")`
is a table of all finished runs, a row for each.

Letters of shapes: B batch, T tokens, P prompt, d_model width of an embedding, d_head width of a head, r rank,
V vocabulary, N positions that are scored.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = [
    "__version__",
    "build_method",
    "few_shot",
    "load_backbone",
    "load_data",
    "load_decoding",
    "load_recipe",
    "predict",
    "read_runs",
    "run",
    "score",
    "train",
]
HOMES = {  # of what is imported when it is first used; __init__.pyi has the types
    "__version__": "peft_cli.config.version",
    "few_shot": "peft_cli.data",
    "load_backbone": "peft_cli.backbone.loading",
    "predict": "peft_cli.evaluate",
    "read_runs": "peft_cli.run_folder.read_runs",
    "run": "peft_cli.run",
    "score": "peft_cli.metrics",
    "train": "peft_cli.train",
}


def load_data(name: str, **settings: Any) -> Any:
    """The data set `name` of conf/data with `settings` over its own, such as root="data/e2e"."""
    return _build("data", name, settings)


def build_method(name: str, backbone: Any, **settings: Any) -> Any:
    """The method `name` of conf/method on `backbone`, with `settings` over its own, such as lr=1e-3."""
    return _build("method", name, settings, backbone=backbone)


def load_recipe(name: str = "few_shot", **settings: Any) -> Any:
    """The settings of training `name` of conf/train, with `settings` over its own, such as steps=100."""
    from peft_cli.recipe import Recipe

    return Recipe(**_option("train", name, settings, Recipe))


def load_decoding(name: str = "greedy", **settings: Any) -> Any:
    """How text is generated: `name` of conf/decode, with `settings` over its own, such as beams=5."""
    from peft_cli.evaluate import Decoding

    return Decoding(**_option("decode", name, settings, Decoding))


def _build(group: str, name: str, settings: dict[str, Any], **given: Any) -> Any:
    """What the `_target_` of an option returns."""
    from peft_cli.config.targets import resolve

    target = resolve(_option(group, name, {}, None)["_target_"], group)
    arguments = _option(group, name, settings, target)
    return target(**given, **{key: value for key, value in arguments.items() if key != "_target_"})


def _option(group: str, name: str, settings: dict[str, Any], target: Any) -> dict[str, Any]:
    """The keys of an option with `settings` over its own; raises ValueError for one that `target` does not take."""
    from peft_cli.config.compose import compose_option
    from peft_cli.config.values import check

    own = compose_option(group, name) | settings
    if target is not None:
        check(own, target, group)
    return own


class _Callable(ModuleType):
    """A module that is called as its function of the same name: `train(...)` is `train.train(...)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        return vars(self)[self.__name__.rpartition(".")[2]](*args, **kwargs)


class _Package(ModuleType):
    """This package, in which a module and its function may have one name, such as `train`."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; a submodule that is imported becomes callable where its function is public."""
        if name in HOMES and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """A public function, imported when it is first used."""
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(HOMES[name]), name)


sys.modules[__name__].__class__ = _Package
