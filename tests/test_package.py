"""The package as it is installed: what the wheel carries, what the README says."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from pydantic import PositiveFloat

from peft_cli.backbone import Backbone
from peft_cli.method import Method
from tests.conftest import examples_for, make_backbone
from tests.readme import MADE, README, updated

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(code: str, site: Path, cwd: Path) -> subprocess.CompletedProcess:
    """Runs Python with the unpacked wheel in front of everything else."""
    program = f"import sys; sys.path.insert(0, {str(site)!r}); {code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=cwd)


def test_the_wheel_has_the_files_of_the_package_and_nothing_else(unpacked):
    folders = {
        "peft_cli": ROOT / "peft_cli",
        "peft_cli/conf": ROOT / "conf",
        "peft_cli/experiments": ROOT / "experiments",
    }
    expected = {f"{name}/{path.relative_to(folder)}" for name, folder in folders.items() for path in files(folder)}
    shipped = {str(path.relative_to(unpacked)) for path in files(unpacked)}
    assert {name for name in shipped if ".dist-info/" not in name} == expected


def files(folder: Path) -> list[Path]:
    """The files below a folder, without compiled ones."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_every_command_of_the_wheel_exists(unpacked, tmp_path):
    targets = [target.split(":") for target in PROJECT["scripts"].values()]
    code = "; ".join(f"from {module} import {function}" for module, function in targets)
    done = run(code, unpacked, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_run_works_from_the_wheel(unpacked, tmp_path):
    arguments = "['peft-run', 'method=pt', 'train.steps=2', 'test_limit=2', 'decode=greedy', 'decode.max_new_tokens=4']"
    done = run(f"sys.argv = {arguments}; from peft_cli.cli.run import main; main()", unpacked, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/mini/tiny-gpt2/pt/*/result.json"))


def test_help_from_the_wheel_lists_methods_and_experiments(unpacked, tmp_path):
    done = run("sys.argv = ['peft-run', '--help']; from peft_cli.cli.run import main; main()", unpacked, tmp_path)
    assert "spt" in done.stdout and "mini_50" in done.stdout


def test_every_method_and_data_set_has_python_of_its_name():
    for group in ("method", "data"):
        python = {path.stem for path in (ROOT / "peft_cli" / group).glob("*.py")} - {"__init__"}
        yamls = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "conf" / group).glob("*.yaml")}
        targets = {keys["_target_"].split(".")[2] for keys in yamls.values() if "_target_" in keys}
        assert python == targets <= set(yamls)


def test_the_constraints_lie_within_the_ranges():
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}
    for requirement in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]):
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), requirement


def test_make_check_and_the_hooks_before_a_commit_are_the_same():
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [
        line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()
    ]


def test_the_readmes_commands_exist():
    readme = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    commands = re.findall(r"^    (?:\$ )?(make|peft-run|peft-report|peft-score)\b(.*)$", readme, flags=re.MULTILINE)
    assert commands and {rest.split()[0] for name, rest in commands if name == "make"} <= targets
    options = {path.stem for group in ("method", "data", "backbone") for path in (ROOT / "conf" / group).glob("*.yaml")}
    ours = " ".join(rest for _, rest in commands if "--plugin" not in rest and "--config-dir" not in rest)
    named = re.findall(r"\b(?:method|data|backbone)=([\w,-]+)", ours)
    assert {option for names in named for option in names.split(",")} <= options


def test_the_readmes_method_works(family):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (code,) = [block for block in blocks if "class Steer" in block]
    names = {"Method": Method, "Backbone": Backbone, "PositiveFloat": PositiveFloat, "nn": torch.nn, "torch": torch}
    exec(code, names)
    backbone = make_backbone(family)
    method = names["Steer"](backbone, lr=0.01)
    rows = backbone.encode(examples_for(backbone))
    before = backbone.forward(method.inputs(backbone.batch(rows)))[0]
    assert torch.equal(before, make_backbone(family).forward(backbone.batch(rows))[0])
    before.logsumexp(-1).sum().backward()
    assert (method.b.grad.abs().sum(-1) > 0).all()


def test_the_readmes_table_is_the_sweeps():
    """`make published` writes both."""
    readme = README.read_text(encoding="utf-8")
    assert updated(readme, MADE.read_text(encoding="utf-8")) == readme


def test_the_readmes_pictures_are_the_sweeps():
    pages = [ROOT / "experiments" / f"{name}.md" for name in ("mini_shots", "e2e_shots", "trec")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    pictures = re.findall(r"!\[[^]]*\]\(experiments/(figures/[^)]+)\)", README.read_text(encoding="utf-8"))
    assert len(pictures) == 6 and all(f"({picture})" in text for picture in pictures)
    assert all((ROOT / "experiments" / picture).stat().st_size < 80_000 for picture in pictures)
