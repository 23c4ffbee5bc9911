"""From overrides to configurations: the ones that Hydra composes, in their one form, resolved once."""

import json
import shutil

import pytest

from peft_cli.config import options
from peft_cli.config.compose import compose, composer, experiment_runs
from peft_cli.config.experiments import combine
from peft_cli.run_folder.result import folder_of

RUNS = [
    ["method=spt", "seed=3", "shots=50"],
    ["method=pt", "method.lr=1e-3", "method.text='a, b'", "data=e2e", "data.root=/x", "shots=null"],
    ["backbone=hub", "backbone.name=some/model", "decode=beam", "decode.beams=2"],
    ["train=full", "train.steps=7", "train.validate_every=null", "init_from=[a,b]", "method=ft_top2"],
    ["runs=${data.root}/runs", "data=e2e", "data.root=here"],
    ["data=stsb", "data.rows={train: 32}", "data.rename=null"],
]
ADDED = {"plugins": [], "config_dirs": []}


@pytest.mark.parametrize("overrides", RUNS)
def test_a_configuration_is_the_one_that_hydra_composes(overrides):
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    run = compose(overrides)
    with composer():
        expected = OmegaConf.to_container(hydra_compose("config", overrides), resolve=True)
    del expected["launcher"]
    assert json.dumps(run.config) == json.dumps(expected | ADDED) and run.overrides == overrides
    assert run.choices == {group: run.choices[group] for group in options.groups() if group != "launcher"}


def test_hydra_stays_as_the_program_has_it_that_composes_a_run(tmp_path):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    (tmp_path / "theirs.yaml").write_text("key: 3\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose(["seed=3"]).config["seed"] == 3
        assert hydra_compose("theirs").key == 3


def test_runs_do_not_share_values():
    with composer() as composed:
        first = composed(["method=spt", "method.lr=0.5", "seed=1"])
        assert composed(["method=spt"]).config["method"]["lr"] != 0.5 and first.config["seed"] == 1


@pytest.mark.parametrize(
    "values", [("train.clip=1", "train.clip=1.0"), ("seed=1", "seed=1.0"), ("method.lr=1", "method.lr=1e0")]
)
def test_two_spellings_of_a_value_are_one_run(values):
    first, second = (folder_of(run.config, run.choices).path for run in map(compose, ([value] for value in values)))
    assert first == second


def test_a_value_is_resolved_once():
    run = compose([r"method.text='id \${seed} of ${seed}'", "seed=3"])
    assert run.config["method"]["text"] == "id ${seed} of 3"


def test_a_home_folder_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert compose(["runs=~/runs"]).config["runs"] == "/home/me/runs"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["method.options.lora_alpha=8"], {"lora_alpha": 8}),
        (["method.options={r: 4, lora_alpha: 8}"], {"r": 4, "lora_alpha": 8}),
        (["method.options={r: 4}", "method.options.lora_alpha=8"], {"r": 4, "lora_alpha": 8}),
        (["method.options.inner.deep=1"], {"inner": {"deep": 1}}),
        ([], None),
    ],
)
def test_an_option_that_is_null_takes_any_mapping(overrides, expected):
    assert compose(["method=dart", *overrides]).config["method"]["options"] == expected


def test_a_mapping_of_one_run_of_a_sweep_stays_out_of_the_next():
    lines = ["method=dart", "method.options={r: 4}"]
    with composer() as composed:
        composed([*lines, "method.options.lora_alpha=8", "method.options.inner={a: 1}", "method.options.inner.b=2"])
        assert composed(lines).config["method"]["options"] == {"r": 4}


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("method.foo=1", "has no key foo"),
        ("sots=1", "did you mean shots"),
        ("lr=1", "did you mean method.lr"),
        ("backbone=hub", "backbone.name has no value"),
        ("seed=0,1", "add -m"),
        ("runs=${foo}", "Interpolation key 'foo' not found"),
    ],
)
def test_a_wrong_run_is_refused(override, hint):
    with pytest.raises(ValueError, match=hint):
        compose([override])


SETTINGS = """\
defaults:
  - override /data: e2e
shots: 9
settings:
  method=pt: {method.lr: 0.7, train.steps: 9}
  method=pt, train=full: {method.lr: 0.8}
  method=ft: {train: full}
hydra:
  sweeper:
    params:
      method: pt,ft
      seed: 0,1
      init_from: null
"""


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """Compose a run of an experiment with settings of its own."""
    shutil.copytree(options.resource_folder("conf"), tmp_path / "conf")
    (tmp_path / "experiments").mkdir()
    monkeypatch.setattr(options, "PACKAGE", tmp_path / "peft_cli")

    def run(*overrides, text=SETTINGS):
        (tmp_path / "experiments" / "table.yaml").write_text(text)
        return compose(["+experiment=table", *overrides])

    return run


def test_an_experiment_has_options_values_and_settings_for_some_options(settled):
    plain, with_pt = settled("method=spt"), settled("method=pt")
    assert (with_pt.config["method"]["lr"], with_pt.config["train"]["steps"]) == (0.7, 9)
    assert plain.config["train"]["steps"] != 9 and plain.config["shots"] == 9 and plain.choices["data"] == "e2e"
    assert settled("method=pt", "train=full").config["method"]["lr"] == 0.8
    assert settled("method=ft").choices["train"] == "full"
    assert settled("method=ft", "train=few_shot").choices["train"] == "few_shot"


@pytest.mark.parametrize("text", ["", "defaults: [_self_]\nsettings:\nhydra: {sweeper:}\n"])
def test_an_experiment_may_have_nothing_of_its_own(settled, text):
    assert settled("method=pt", text=text).config == compose(["method=pt"]).config


def test_an_experiment_may_set_the_launcher(settled):
    settled("method=pt", text="hydra: {launcher: {minutes: 7}}\ndefaults: [override /hydra/launcher: slurm]\n")
    with composer() as composed:
        draft = composed.draft(["+experiment=table", "hydra.launcher.cpus=2"])
    assert draft.choices["launcher"] == "slurm"
    assert (draft.config["launcher"]["minutes"], draft.config["launcher"]["cpus"]) == (7, 2)


def test_settings_may_be_a_mapping(settled):
    text = "settings:\n  method=dart: {method.options: {lr: 3e-4}}\n"
    chosen = settled("method=dart", "data=sst2", "backbone=tiny-roberta", text=text)
    assert chosen.config["method"]["options"] == {"lr": 3e-4}


def test_the_command_line_is_stronger_than_an_experiment_and_its_settings(settled):
    run = settled("method=pt", "method.lr=0.1", "shots=5", "data=mini")
    assert (run.config["method"]["lr"], run.config["shots"], run.choices["data"]) == (0.1, 5, "mini")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("settings: {method=lroa: {seed: 1}}", "there is no method=lroa"),
        ("settings: {metod=pt: {seed: 1}}", "did you mean method"),
        ("settings: {method=pt: {method.rank: 1}}", "table.yaml: method=pt has no key rank"),
        ("method: {rank: 1}", "table.yaml: method=pt has no key rank"),
        ("data: {_target_: os.system}", "has to be inside peft_cli.data"),
        ("[1, 2]", "table.yaml is no experiment"),
        ("hydra: {run: {dir: x}}", "there is no key run"),
        ("train: 5", "train is a group of them"),
        ("defaults: [override /data: null]", "there is no data=None"),
        ("settings: {method=pt: {seed.x: 1}}", "seed is a single value"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(settled, text, hint):
    with pytest.raises(ValueError, match=hint):
        settled("method=pt", text=text)


def test_a_sweep_of_an_experiment_has_its_combinations(settled):
    settled("method=pt")
    with composer():
        lines = combine(["+experiment=table", "shots=5,6"])
        fewer = combine(["+experiment=table", "method=spt", "hydra/launcher=slurm"])
    assert len(lines) == 8
    assert lines[0] == ["method=pt", "seed=0", "init_from=null", "+experiment=table", "shots=5"]
    assert fewer[1] == ["method=spt", "seed=1", "init_from=null", "+experiment=table", "launcher=slurm"]


def test_an_experiment_that_sweeps_over_nothing_is_one_run(settled):
    settled("method=pt", text="shots: 3\n")
    assert [run.config["shots"] for run in experiment_runs()] == [3]
