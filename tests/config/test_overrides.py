"""Overrides as a user types them."""

import pytest

from peft_cli.config.compose import composer
from peft_cli.config.overrides import quote_paths, read_override, read_single

RUN = "runs/mini/tiny-gpt2/spt/shots=50,seed=0-4620c8bb12"


@pytest.fixture(autouse=True)
def hydra():
    with composer():
        yield


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (RUN, RUN),
        (f"'{RUN}'", RUN),
        (f"[{RUN},runs/b/shots=all,seed=1-a]", [RUN, "runs/b/shots=all,seed=1-a"]),
        ("runs/*/spt/shots=all,seed=0-*", "runs/*/spt/shots=all,seed=0-*"),
        ("${runs}/mini/shots=all,seed=${seed}-*", "${runs}/mini/shots=all,seed=${seed}-*"),
        ("/data/lr=0.1/x", "/data/lr=0.1/x"),
        ("~/data", "~/data"),
        ("/home/José/data#1", "/home/José/data#1"),
        ("{a: b=c, d: 1}", {"a": "b=c", "d": 1}),
        ("'a, b'", "a, b"),
        ("a b", "a b"),
        (r"'id \${seed}'", r"id \${seed}"),
        ("1e-3", 1e-3),
        ("null", None),
    ],
)
def test_a_value_needs_no_quotes_for_what_paths_have(value, expected):
    assert read_single(f"init_from={value}").value == expected


def test_a_path_that_is_there_needs_no_quotes_whatever_it_has(tmp_path):
    folder = tmp_path / "it's a, [strange] folder=x"
    folder.mkdir()
    assert read_single(f"data.root={folder}").value == str(folder)


def test_several_run_folders_are_a_sweep():
    assert read_override(f"init_from={RUN},null").texts == [f"'{RUN}'", "null"]


def test_a_path_too_long_for_the_system_is_read_as_text():
    assert read_single(f"method.text=/{'x' * 5000}").value == f"/{'x' * 5000}"


@pytest.mark.parametrize("value", ["range(0,5)", "glob(*, exclude=[a])", "choice(a, b)", "[query, value]", "{a: 1}"])
def test_what_the_grammar_reads_stays_as_it_is(value):
    assert quote_paths(value) == value


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("+foo=1", "foo"),
        ("hydra/launcher=slurm", "launcher"),
        ("hydra.launcher.minutes=7", "launcher.minutes"),
        ("launcher.minutes=7", "launcher.minutes"),
        ("hydra.launchers=7", "hydra.launchers"),
        ("hydra.run.dir=x", "hydra.run.dir"),
    ],
)
def test_the_key_of_an_override(line, key):
    assert read_override(line).key == key


def test_values_of_a_sweep_are_listed_in_their_order():
    assert read_override("seed=range(3,0,-1)").texts == ["3", "2", "1"]
    assert read_override("method.text='a, b',c").texts == ["'a, b'", "c"]
