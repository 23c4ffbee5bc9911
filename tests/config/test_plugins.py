"""A package from outside: its method, data set and backbone run in a sweep, on this machine and through Slurm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peft_cli.config.compose import compose
from peft_cli.config.options import option_file, options
from peft_cli.config.plugins import plugin_flags, use_plugins

ROOT = Path(__file__).parents[2]
FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "peft-shift"
version = "1.0"
[project.entry-points."peft_cli.plugins"]
shift = "peft_shift"
""",
    "peft_shift/__init__.py": "",
    "peft_shift/method.py": '''\
from pydantic import PositiveFloat

from peft_cli.backbone import Backbone
from peft_cli.method.pt import PT


class Shift(PT):
    """A prompt of four vectors."""

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        if lr > 1:
            raise ValueError("method.lr of shift is at most 1")
        super().__init__(backbone, length=4, init="vocabulary", text=None, lr=lr)
''',
    "peft_shift/letters.py": '''\
from peft_cli.data import Data, Example


def letters(words: int) -> Data:
    """Words, and the same in capitals."""
    train, test = (
        [Example(f"{split}-{i}", f"{split} {i} " * words, (f"{split} {i}".upper(),)) for i in range(40)]
        for split in ("train", "test")
    )
    return Data(train, [], test, metrics=("bleu",))
''',
    "peft_shift/conf/method/shift.yaml": "# Four vectors\n_target_: peft_shift.method.Shift\nlr: 0.01\n",
    "peft_shift/conf/data/letters.yaml": "# Capitals\n_target_: peft_shift.letters.letters\nwords: 2\n",
    "peft_shift/conf/backbone/short.yaml": "# Short\ndefaults:\n  - tiny-gpt2\nmax_source_tokens: 20\n",
}
OURS = ["method=shift", "data=letters", "backbone=short", "backbone.device=cpu", "shots=4", "test_limit=2"]
QUICK = ["train.steps=2", "train.warmup_steps=0", "train.validate_every=null", "decode.max_new_tokens=3"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The folder of a package's source."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def site(project, tmp_path_factory) -> Path:
    """A folder in which a wheel of the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder, project], check=True, capture_output=True)
    return folder


def python(*arguments, path, cwd, env=os.environ):
    """Python in a process of its own, with a folder beside this checkout on the path."""
    environment = {**env, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT), env.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=environment)


def peft_run(*arguments, **where):
    """The command in a process of its own."""
    return python("-m", "peft_cli.cli.run", *arguments, **where)


def results(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("result.json"))]


def test_an_installed_package_brings_a_method_a_data_set_and_a_backbone(site, tmp_path):
    done = peft_run("-m", *OURS, *QUICK, "seed=0,1", path=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "runs" / "letters" / "short" / "shift")
    assert [result["run"]["seed"] for result in found] == [0, 1]
    assert found[0]["cost"]["params_trained"] > 0 and found[0]["config"]["backbone"]["max_source_tokens"] == 20


def test_help_and_errors_name_the_options_of_an_installed_package(site, tmp_path):
    page = peft_run("--help", path=site, cwd=tmp_path).stdout
    assert "  shift             Four vectors" in page and "  letters           Capitals" in page
    assert "did you mean shift?" in peft_run("method=shft", path=site, cwd=tmp_path).stderr


def test_tab_completion_knows_the_options_of_the_half_written_command(site, project, tmp_path, monkeypatch):
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "shiftless.yaml").write_text("_target_: peft_shift.method.Shift\nlr: 0.1\n")
    monkeypatch.setenv("COMP_LINE", "peft-run --plugin peft_shift --config-dir mine method=shi")
    done = peft_run("--shell-completion", "query=bash", path=site, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (["method=shift", "method=shiftless"], "")


def test_a_wrong_value_in_a_plugin_is_one_sentence_and_no_traceback(site, tmp_path):
    done = peft_run(*OURS, *QUICK, "method.lr=2", path=site, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "peft-run: method.lr of shift is at most 1\n")


def test_a_package_and_a_folder_of_options_may_be_named_instead(project, tmp_path):
    """On the path alone, a package has no entry point."""
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "half.yaml").write_text("defaults: [shift]\nlr: 0.005\n")
    flags = ["--plugin", "peft_shift", "--config-dir", "mine"]
    done = peft_run("-m", *flags, *OURS, *QUICK, "method=half", "method.lr=0.1,2", path=project, cwd=tmp_path)
    assert "1 of 2 runs failed" in done.stderr and done.returncode == 1
    (result,) = results(tmp_path / "runs" / "letters" / "short" / "half")
    assert result["config"]["plugins"] == ["peft_shift"]
    assert result["config"]["config_dirs"] == [str(tmp_path / "mine")]
    assert f"  peft-run --plugin peft_shift --config-dir {tmp_path / 'mine'} method=half" in done.stderr


def test_a_package_that_nobody_named_is_refused(project, tmp_path):
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "shift.yaml").write_text("_target_: peft_shift.method.Shift\nlr: 0.1\n")
    done = peft_run("--config-dir", "mine", "method=shift", path=project, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "method._target_=peft_shift.method.Shift is not possible" in done.stderr and "--plugin" in done.stderr


@pytest.fixture
def named(project, monkeypatch):
    monkeypatch.syspath_prepend(project)
    yield use_plugins
    use_plugins([], [])


def test_a_plugin_does_not_change_what_a_run_is(named):
    from peft_cli.run_folder.result import folder_of

    plain = compose([])
    named(["peft_shift"], [])
    with_plugin = compose([])
    assert with_plugin.overrides == plugin_flags() == ["--plugin", "peft_shift"]
    assert folder_of(plain.config, plain.choices).path == folder_of(with_plugin.config, with_plugin.choices).path


def test_two_files_of_one_option_are_refused(named, tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "lora.yaml").write_text("_target_: peft_cli.method.lora.LoRA\n")
    named([], [str(tmp_path)])
    with pytest.raises(ValueError, match=r"method=lora has two files, .*conf/method/lora.yaml and .*; rename yours"):
        option_file("method", "spt")


def test_a_folder_may_have_experiments(named, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# Mine\nshots: 3\n")
    named([], [str(tmp_path)])
    assert options("experiment")["mine"] == "Mine" and compose(["+experiment=mine"]).config["shots"] == 3


@pytest.mark.slurm
def test_an_installed_package_runs_through_slurm(site, tmp_path):
    from tests.sweep.mini_slurm import MiniSlurm

    cluster = MiniSlurm(tmp_path / "slurm", accounting=False)
    cluster.up()
    try:
        slurm = ["hydra/launcher=slurm", "hydra.launcher.poll_seconds=1"]
        done = peft_run("-m", *slurm, *OURS, *QUICK, "seed=0,1", path=site, cwd=tmp_path, env=cluster.env)
    finally:
        cluster.down()
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / "runs" / "letters" / "short" / "shift")) == 2


@pytest.mark.parametrize("command", ["export", "predict"])
@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ({"data": {"_target_": "peft_cli.cli.draws.main", "path": "kept"}}, "has to be inside peft_cli.data"),
        ({"method": {"_target_": "peft_cli.cli.draws.main", "path": "kept"}}, "has to be inside peft_cli.method"),
        ({"backbone": {"_target_": "peft_cli.cli.draws.main", "path": "kept"}}, "has to be peft_cli.backbone"),
        ({"method": {"_target_": "peft_shift.method.Shift"}, "plugins": ["peft_shift"]}, "that --plugin names"),
    ],
)
def test_the_configuration_in_a_run_folder_from_elsewhere_runs_nothing(project, tmp_path, command, section, hint):
    (tmp_path / "kept").write_text("mine")
    config = compose(["method=pt", "backbone.device=cpu"]).config
    config |= {name: config.get(name, {}) | part if isinstance(part, dict) else part for name, part in section.items()}
    run = {"method": "pt", "data": "mini", "backbone": "tiny-gpt2", "seed": 0}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text(
        json.dumps({"config": config, "run": run, "backbone": {"sha256": ""}, "data": {"labels": []}})
    )
    (tmp_path / "run" / "config.yaml").write_text(json.dumps(config))
    (tmp_path / "lines.jsonl").write_text('{"source": "name : Iris"}\n')
    arguments = ["--input", "lines.jsonl"] if command == "predict" else []
    code = f"import sys; from peft_cli.cli.{command} import main; sys.exit(main())"
    done = python("-c", code, "run", *arguments, path=project, cwd=tmp_path)
    assert done.returncode == 2 and hint in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert (tmp_path / "kept").read_text() == "mine"


def test_an_option_without_a_target_is_refused(named, tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("lr: 0.1\n")
    named([], [str(tmp_path)])
    with pytest.raises(ValueError, match=r"method\._target_=None is not possible"):
        compose(["method=mine"])


def test_an_option_that_builds_on_an_absent_one_is_one_sentence(named, tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("defaults: [absent]\n")
    named([], [str(tmp_path)])
    with pytest.raises(ValueError, match=r"^In 'method/mine': Could not load 'method/absent'.$"):
        compose(["method=mine"])
