"""peft_cli.cli.command: help, composition, errors in one sentence, sweeps. The task is the tests' own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peft_cli.cli.command import Work, command
from peft_cli.config import options, targets

ROOT = Path(__file__).parents[2]

ENTRY = "from peft_cli.cli.command import command; command(None)"
EXPERIMENT = """\
# Two methods, two seeds
defaults:
  - override /method: ft
shots: 7
hydra:
  sweeper:
    params:
      method: pt,spt
      seed: 0,1
"""


def task(config, choices, overrides):
    if config["seed"] == 1:
        raise RuntimeError("seed 1 is\nbroken")
    if config["seed"] == 2:
        raise SystemExit(4)
    if config["seed"] == 3:
        targets.resolve("os.system", "method")  # a ValueError from inside the package
    if config["seed"] == 4:
        raise ValueError("from outside the package")
    if config["seed"] == 5:
        raise KeyboardInterrupt
    if config["seed"] == 6:
        Path("absent.csv").read_text()
    print(choices["method"], config["shots"], config["seed"], config["method"]["lr"])


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")


@pytest.fixture
def peft_run(monkeypatch, capsys):
    """Call the command in this process; returns the exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["peft-run", *arguments])
        code = 0
        try:
            command(lambda: Work(task))
        except SystemExit as error:
            code = error.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def sweep(peft_run):
    """The same with all runs of a sweep in this process."""
    return lambda *arguments: peft_run("hydra/launcher=basic", *arguments)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of conf/ beside a folder of experiments, which the command reads in place of ours."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "table1.yaml").write_text(EXPERIMENT)
    (tmp_path / "file").touch()
    monkeypatch.setattr(options, "PACKAGE", tmp_path / "peft_cli")
    return tmp_path


def run_python(code, *arguments):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=True)


def names(group):
    return [file.stem for file in (ROOT / "conf" / group).glob("*.yaml")]


WRONG = {
    "method=lroa": ["there is no method=lroa", *names("method")],
    "data=e2": ["there is no data=e2", "did you mean e2e?"],
    "method.foo=1": ["method=spt has no key foo", "scale_target"],
    "method=pt method.scale_lr=1": ["method=pt has no key scale_lr; it has length"],
    "method.legnth=1": ["did you mean length?"],
    "sots=5": ["no key sots", "did you mean shots?", "data_seed"],
    "+foo=1": ["no key foo", "data_seed"],
    "++foo=1": ["no key foo", "data_seed"],
    "+method.foo=1": ["method=spt has no key foo"],
    "shots.foo=1": ["shots is a single value"],
    "method/x=1": ["no key method/x"],
    "hydra=1": ["no key hydra"],
    "hydra.foo=1": ["no key hydra"],
    "hydra.launcher.foo=1": ["launcher=local has no key foo"],
    "hydra/launcher=lsurm": ["there is no launcher=lsurm", "did you mean slurm?"],
    "~method": ["~method", "not removed or moved"],
    "~shots=50": ["not removed or moved"],
    "method@train=pt": ["not removed or moved"],
    "method=null": ["there is no method=null"],
    "method=[pt,ft]": ["there is no method=[pt,ft]"],
    "method=pt,": ["'method=pt,' cannot be read as key=value", "quotes"],
    "shots=": ["'shots=' cannot be read"],
    "=3": ["'=3' cannot be read"],
    "shots 50": ["'shots' cannot be read as key=value, as in shots=50"],
    "backbone=hub": ["backbone.name has no value; add backbone.name=..."],
    "runs=${foo}": ["runs", "foo"],
    "runs=${foo": ["'runs=${foo' cannot be read"],
    "seed=0,1": ["seed=0,1 asks for several runs; add -m"],
    "method._target_=os.system": ["method._target_=os.system", "inside peft_cli"],
    "experiment=tabel1": ["there is no experiment=tabel1", "did you mean table1?"],
    "-m +experiment=table1,table2": ["one experiment"],
    "-m method=pt,lroa": ["there is no method=lroa"],
    "-m method=ft,pt method.top_blocks=3": ["method=pt has no key top_blocks"],
    "-m seed=range(0,0)": ["cannot be read"],
    "lr=0.1": ["there is no key lr", "did you mean method.lr?"],
    "train.lr=0.1": ["train=few_shot has no key lr", "did you mean method.lr?"],
    "batch_size=3": ["did you mean train.batch_size or decode.batch_size?"],
    "method.lr.x=1": ["method.lr is a single value"],
    "train=5 train.steps.x=1": ["there is no train=5"],
    "runs=null": ["runs=null is not possible: it has to be text"],
    "runs=''": ["runs= is not possible"],
    "runs=3": ["runs=3 is not possible: it has to be text"],
    "runs=../file": ["../file is a file, and it has to be a folder"],
    "-m runs=../file/inner seed=0,1": ["../file is a file"],
    "data={_target_:x}": ["there is no data={_target_:x}"],
    "method.text={_target_:os.system}": ["method.text has no target"],
    "data._target_=peft_cli.cli.draws.main": ["has to be inside peft_cli.data"],
    "backbone._target_=peft_cli.backbone.Backbone": ["has to be peft_cli.backbone.loading.load_backbone"],
    "method._target_=peft_cli.data.files.load": ["has to be inside peft_cli.method"],
    "data=files data.train=a data.test=b data.flatten=peft_cli.cli.draws.main": ["has to be inside peft_cli.data"],
    "-m --cfg job": ["not allowed with"],
    "--cfg jobs": ["jobs", "peft-run --help"],
    "--config-dir x": ["--config-dir x", "no such folder"],
    "--plugin absent_package": ["--plugin absent_package", "installed or on PYTHONPATH"],
    "--plugin peft_cli": ["--plugin peft_cli"],
    "--plugin a/b": ["--plugin a/b"],
    "--cfg job --package absent": ["has no such part"],
    "--unknown": ["--unknown", "peft-run --help"],
    "seed=3": ["_target_=os.system"],
    "seed=6": ["absent.csv: No such file"],
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(line, peft_run, checkout):
    code, out, err = peft_run(*line.split(" "))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("peft-run: ")
    assert [hint for hint in WRONG[line] if hint not in err] == []


@pytest.mark.parametrize("file", ["conf/config.yaml", "conf/method/spt.yaml", "experiments/table1.yaml"])
def test_a_broken_yaml_is_named_with_its_line(file, peft_run, checkout):
    lines = (checkout / file).read_text().count("\n")
    with (checkout / file).open("a") as handle:
        handle.write("\nx: [1\n")
    code, _, err = peft_run(*["+experiment=table1"] if "table1" in file else [])
    assert (code, err.count("\n")) == (2, 1)
    assert f"{checkout / file}, line {lines + 3}, is not YAML" in err


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("foo: 1", "there is no key foo"),
        ("method: {foo: 1}", "method=spt has no key foo"),
        ("train: 5", "train is a group"),
        ("method: {_target_: os.system}", "inside peft_cli"),
        ("defaults: [override /method: lroa]", "there is no method=lroa; there are"),
        ("hydra: {sweeper: {params: {method: 'pt,lroa'}}}", "there is no method=lroa"),
        ("hydra: {sweeper: {params: {method: 'pt,'}}}", "method=pt,"),
    ],
)
def test_an_experiment_that_asks_for_what_there_is_not_is_refused(text, hint, peft_run, checkout):
    (checkout / "experiments" / "table1.yaml").write_text(text)
    code, out, err = peft_run("-m", "+experiment=table1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert hint in err


def test_a_run_gets_its_configuration_and_choices(peft_run):
    assert peft_run("method=pt", "shots=5", "++method.lr=1e-3") == (0, "pt 5 0 0.001\n", "")


def test_the_folder_inside_an_installed_package_comes_first(peft_run, checkout):
    shutil.copytree(checkout / "conf", checkout / "peft_cli" / "conf")
    (checkout / "conf" / "config.yaml").write_text("not: read")
    assert peft_run() == (0, "spt 50 0 0.3\n", "")


def test_own_keys_of_an_option_win_over_what_it_builds_on(peft_run):
    _, out, _ = peft_run("--cfg", "job", "backbone=gpt2", "train=full")
    assert "name: openai-community/gpt2\n" in out
    assert "steps: 20000\n" in out


@pytest.mark.parametrize(("seed", "name"), [(1, "RuntimeError"), (2, "SystemExit"), (4, "ValueError")])
def test_a_bug_shows_its_traceback_and_exits_1(seed, name, peft_run):
    code, _, err = peft_run(f"seed={seed}")
    assert code == 1
    assert err.startswith("Traceback") and name in err


def test_ctrl_c_is_one_line_and_exit_code_130(peft_run):
    assert peft_run("seed=5") == (130, "", "peft-run: stopped by Ctrl-C\n")


def test_flags_and_overrides_come_in_any_order(sweep):
    assert sweep("shots=5", "-m", "method=pt,spt")[:2] == (0, "pt 5 0 0.3\nspt 5 0 0.3\n")


def test_a_sweep_may_set_a_key_that_the_default_method_has_not_got(sweep):
    assert sweep("-m", "method=ft,ft_top2", "method.top_blocks=3")[0] == 0


def test_two_spellings_of_a_value_are_one_run_of_a_sweep(sweep):
    code, out, _ = sweep("-m", "train.clip=1,1.0", "method.lr=3e-1,0.3", "plan=true")
    assert code == 0 and "\n1 runs: 1 new" in out


def test_each_run_of_a_sweep_has_its_values_resolved_once(peft_run, monkeypatch):
    texts = []
    monkeypatch.setitem(globals(), "task", lambda config, *_: texts.append(config["method"]["text"]))
    peft_run("hydra/launcher=basic", "-m", "method=pt", r"method.text='id \${seed} of ${seed}'", "seed=3,4")
    assert texts == ["id ${seed} of 3", "id ${seed} of 4"]


def test_a_run_that_cannot_be_completed_fails_alone(monkeypatch, capsys):
    def complete(config):
        if config["seed"] == 7:
            raise ValueError("no such data")
        return config | {"content": {}}

    def task(config, choices, overrides):
        print(config["seed"], complete(config) == config)

    monkeypatch.setattr(sys, "argv", ["peft-run", "-m", "hydra/launcher=basic", "seed=7,8"])
    with pytest.raises(SystemExit):
        command(lambda: Work(task, complete=complete))
    out, err = capsys.readouterr()
    assert out == "8 True\n" and "1 of 2 runs failed:\n  peft-run seed=7\n    ValueError: no such data\n" in err


def test_a_sweep_lists_its_failures_after_all_runs(sweep):
    code, out, err = sweep("-m", "shots=5", "seed=1,2,3,0", "method.text='a b'")
    assert (code, out) == (1, "spt 5 0 0.3\n")
    assert err[err.index("3 of 4 runs") :].splitlines() == [
        "3 of 4 runs failed:",
        """  peft-run shots=5 seed=1 'method.text='"'"'a b'"'"''""",
        "    RuntimeError: seed 1 is broken",
        """  peft-run shots=5 seed=2 'method.text='"'"'a b'"'"''""",
        "    SystemExit: 4",
        """  peft-run shots=5 seed=3 'method.text='"'"'a b'"'"''""",
        "    method._target_=os.system is not possible: it has to be inside peft_cli.method, or in a package that "
        "--plugin names",
    ]


def test_a_sweep_of_wrong_requests_only_exits_2(sweep):
    code, _, err = sweep("-m", "seed=3,6")
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("line", ["-m +experiment=table1", "+experiment=table1", "experiment=table1"])
def test_an_experiment_is_a_sweep(line, sweep, checkout):
    code, out, err = sweep(*line.split())
    assert (code, out) == (1, "pt 7 0 0.3\nspt 7 0 0.3\n")
    assert "  peft-run method=pt seed=1 +experiment=table1\n" in err


def test_a_failed_run_of_an_experiment_is_repeated_alone(sweep, checkout):
    assert sweep("method=pt", "seed=0", "+experiment=table1")[:2] == (0, "pt 7 0 0.3\n")


def test_the_command_leaves_no_files_of_its_own(sweep):
    sweep()
    sweep("-m", "seed=0,1", "runs=here")
    assert [path for path in Path.cwd().rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("method=", " ".join(sorted(f"method={name}" for name in names("method")))),
        ("method=pt method.le", "method.length="),
        ("-m +experiment=", "+experiment=table1"),
        ("+exp", "+experiment="),
        ("shots=( method.le", ""),
    ],
)
def test_tab_completion_knows_groups_keys_and_experiments(line, expected, peft_run, checkout, monkeypatch):
    monkeypatch.setenv("COMP_LINE", f"peft-run {line}")
    code, out, err = peft_run("--shell-completion", "query=bash")
    assert (code, out.strip(), err) == (0, expected, "")


def test_tab_completion_is_installed_by_hydra(peft_run):
    code, out, _ = peft_run("--shell-completion", "install=bash")
    assert code == 0
    assert out.rstrip().endswith("-F hydra_bash_completion peft-run")


@pytest.mark.parametrize("line", ["--info", "--hydra-help", "--cfg hydra", "--cfg job --resolve"])
def test_hydras_own_pages_work(line):
    page = run_python(ENTRY, *line.split())
    assert page.stdout
    assert page.stderr == ""


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_made_from_the_files(flag, peft_run, checkout):
    (checkout / "conf" / "method" / "mine.yaml").write_text("# A method of mine\n_target_: peft_cli.x\n")
    _, page, _ = peft_run("method=spt", flag)
    lines = page.splitlines()
    files = [file for file in (checkout / "conf").glob("*/*.yaml")]
    assert [file.stem for file in files if not any(line[2:].split(" ")[0] == file.stem for line in lines)] == []
    assert "  mine              A method of mine" in lines
    assert "  table1            Two methods, two seeds" in lines
    assert [line.split()[1] for line in lines if line.startswith("* ")][:2] == ["spt", "tiny-gpt2"]
    assert any(line.startswith("  shots=50  ") for line in lines)
    assert max(map(len, lines)) <= 100


def test_the_version_is_told(peft_run):
    assert peft_run("--version")[1].startswith("peft-run")


def test_help_imports_nothing_heavy():
    watch = "; import sys; print({'hydra', 'omegaconf', 'pydantic', 'torch'} & set(sys.modules))"
    assert run_python(ENTRY + watch, "--help").stdout.endswith("set()\n")


def test_composing_does_not_import_torch():
    watch = "; import sys; print({'pydantic', 'torch', 'transformers'} & set(sys.modules))"
    assert run_python(ENTRY + watch, "--cfg", "job").stdout.endswith("set()\n")
