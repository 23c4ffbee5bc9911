"""Targets: inside what their group is for, and in the packages that a user named."""

import re
import sys

import pytest

from peft_cli.config.options import option_files
from peft_cli.config.plugins import use_plugins
from peft_cli.config.targets import check_target, resolve
from peft_cli.method.pt import PT

PLUGIN = """
from os import system
from peft_cli.method import Method

class Mine(Method):
    pass

class NoMethod:
    pass

def load():
    pass
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A module outside this package, and in the folder of it another that nobody named."""
    (tmp_path / "my_plugin.py").write_text(PLUGIN)
    (tmp_path / "my_plugin_too.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_plugin"
    use_plugins([], [])
    for name in ("my_plugin", "my_plugin_too"):
        sys.modules.pop(name, None)


def test_a_target_is_the_class_of_its_name():
    assert resolve("peft_cli.method.pt.PT", "method") is PT


@pytest.mark.parametrize("group", ["method", "data", "backbone"])
def test_the_targets_of_all_options_are_found(group):
    texts = [file.read_text() for file in option_files(group).values()]
    targets = {target for text in texts for target in re.findall(r"^_target_: (\S+)", text, re.MULTILINE)}
    assert targets and all(callable(resolve(target, group)) for target in targets)


@pytest.mark.parametrize(
    ("group", "target", "hint"),
    [
        ("method", "os.system", "has to be inside peft_cli.method"),
        ("method", "peft_climate.x", "has to be inside peft_cli.method"),
        ("method", "pt", "has to be inside peft_cli.method"),
        ("method", None, "has to be inside peft_cli.method"),
        ("method", "peft_cli.method.absent.F", "there is no module peft_cli.method.absent"),
        ("method", "peft_cli.method.pt.absent", "peft_cli.method.pt has no function or class absent"),
        ("method", "peft_cli.method.pt.PT.inputs", "there is no module peft_cli.method.pt.PT"),
        ("method", "peft_cli.method.pt.torch", "has no function or class torch"),
        ("method", "peft_cli.method.hf_peft.config_class", "has to be a subclass of peft_cli.method.Method"),
        ("method", "peft_cli.method.hf_peft.find_spec", "has no function or class find_spec"),
        ("method", "peft_cli.data.files.load", "has to be inside peft_cli.method"),
        ("data", "peft_cli.cli.draws.main", "has to be inside peft_cli.data"),
        ("data", "peft_cli.data.files.resolve", "peft_cli.data.files has no function or class resolve"),
        ("data", "peft_cli.database.f", "has to be inside peft_cli.data"),
        ("data", "peft_cli.method.pt.PT", "has to be inside peft_cli.data"),
        ("backbone", "peft_cli.backbone.Backbone", "has to be peft_cli.backbone.loading.load_backbone"),
        ("backbone", "peft_cli.cli.draws.main", "has to be peft_cli.backbone.loading.load_backbone"),
    ],
)
def test_any_other_target_is_refused(group, target, hint):
    with pytest.raises(ValueError, match=hint):
        resolve(target, group)


def test_a_target_of_a_plugin_is_refused_until_it_is_named(plugin):
    with pytest.raises(ValueError, match="in a package that --plugin names"):
        check_target("my_plugin.Mine", "method")
    use_plugins([plugin], [])
    check_target("my_plugin.Mine", "method")
    assert resolve("my_plugin.Mine", "method").__name__ == "Mine"
    assert resolve("my_plugin.load", "data").__name__ == "load"


@pytest.mark.parametrize(
    ("group", "target", "hint"),
    [
        ("data", "my_plugin.system", "has no function or class system"),
        ("data", "my_plugin_too.load", "in a package that --plugin names"),
        ("method", "my_plugin.NoMethod", "has to be a subclass"),
        ("method", "my_plugin.load", "has to be a subclass"),
        ("data", "peft_cli.cli.draws.main", "has to be inside peft_cli.data"),
    ],
)
def test_a_plugin_opens_nothing_but_itself(plugin, group, target, hint):
    use_plugins([plugin], [])
    with pytest.raises(ValueError, match=hint):
        resolve(target, group)


def test_naming_plugins_anew_forgets_the_earlier_ones(plugin):
    use_plugins([plugin], [])
    use_plugins([], [])
    with pytest.raises(ValueError, match="in a package that --plugin names"):
        resolve("my_plugin.Mine", "method")
