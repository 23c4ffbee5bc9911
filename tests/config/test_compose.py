"""Quick composition gives what Hydra gives, and refuses what Hydra refuses."""

import shutil

import pytest
from hydra.types import RunMode

from peft_cli.config import check
from peft_cli.config.check import own
from peft_cli.config.compose import Composer, compose, hydra_loader

SWEEPS = [
    ["method=spt", "seed=3", "shots=50"],
    ["method=pt", "method.lr=1e-3", "method.text='a, b'", "data=e2e", "data.root=/x", "shots=null"],
    ["backbone=hub", "backbone.name=some/model", "decode=beam", "decode.beams=2"],
    ["train=full", "train.steps=7", "train.validate_every=null", "init_from=[a,b]", "method=ft_top2"],
    ["+experiment=mini_50", "seed=1", "method=ft"],
    ["runs=${data.root}/runs", "data=e2e", "data.root=here"],
]


@pytest.fixture
def composer():
    with hydra_loader() as loader:
        plain = type(loader).load_configuration.__get__(loader)
        master = plain(config_name="config", overrides=["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        yield Composer(loader, master)


@pytest.mark.parametrize("overrides", SWEEPS)
def test_a_run_of_a_sweep_is_what_hydra_composes(composer, overrides):
    plain = type(composer.loader).load_configuration.__get__(composer.loader)
    cfg = compose(plain, True, config_name="config", overrides=overrides, run_mode=RunMode.RUN)
    composed = composer(overrides)
    assert composed.config == own(cfg, resolve=True) and composed.overrides == overrides
    assert composed.choices == {group: cfg.hydra.runtime.choices[group] for group in composed.choices}


def test_runs_do_not_share_values(composer):
    first = composer(["method=spt", "method.lr=0.5", "seed=1"])
    assert composer(["method=spt"]).config["method"]["lr"] != 0.5 and first.config["seed"] == 1


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("method.foo=1", "has no key foo"),
        ("sots=1", "did you mean shots"),
        ("backbone=hub", "backbone.name has no value"),
    ],
)
def test_a_wrong_run_is_refused(composer, override, hint):
    with pytest.raises(ValueError, match=hint):
        composer([override])


SETTINGS = """\
shots: 9
settings:
  method=pt: {method.lr: 0.7, train.steps: 9}
  method=pt, train=full: {method.lr: 0.8}
"""


@pytest.fixture
def settled(tmp_path, monkeypatch, composer):
    """Composes a run of an experiment with settings of its own."""
    shutil.copytree(check.folder("conf"), tmp_path / "conf")
    (tmp_path / "experiments").mkdir()

    def composed(*overrides, text=SETTINGS):
        (tmp_path / "experiments" / "table.yaml").write_text(text)
        return composer(["+experiment=table", *overrides]).config

    monkeypatch.setattr(check, "PACKAGE", tmp_path / "peft_cli")
    return composed


def test_an_experiment_has_settings_for_some_choices(settled):
    plain, with_pt = settled("method=ft"), settled("method=pt")
    assert (with_pt["method"]["lr"], with_pt["train"]["steps"]) == (0.7, 9) and plain["train"]["steps"] != 9
    assert settled("method=pt", "train=full")["method"]["lr"] == 0.8


def test_settings_may_be_a_mapping(settled):
    text = "settings:\n  method=dart: {method.options: {lr: 3e-4}}\n"
    chosen = settled("method=dart", "data=sst2", "backbone=tiny-roberta", text=text)
    assert chosen["method"]["options"] == {"lr": 3e-4}


def test_what_the_command_line_says_is_stronger_than_settings(settled):
    assert settled("method=pt", "method.lr=0.1")["method"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ("method=lroa: {seed: 1}", "there is no method=lroa"),
        ("metod=pt: {seed: 1}", "did you mean method"),
        ("method=pt: {method.rank: 1}", "method=pt has no key rank"),
    ],
)
def test_settings_that_cannot_be_are_refused(settled, settings, hint):
    with pytest.raises(ValueError, match=hint):
        settled("method=pt", text=f"settings:\n  {settings}\n")
