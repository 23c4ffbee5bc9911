"""The public functions, from Python alone."""

import subprocess
import sys
import textwrap

import pytest

import peft_cli
from peft_cli import build_method, load_backbone, load_recipe, read_runs, run

QUICK = ("method=pt", "method.length=4", "shots=4", "train.steps=2", "train.warmup_steps=0", "test_limit=4")


def test_the_example_of_the_docstring_runs():
    text = peft_cli.__doc__.partition("command:\n\n")[2].partition("\n\n`run(")[0]
    code = textwrap.dedent(text).replace("steps=20", "steps=2, warmup_steps=0, validate_every=None")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "'bleu'" in done.stdout, done.stderr


def test_nothing_heavy_is_imported_with_the_package():
    code = "import sys, peft_cli; print({'torch', 'transformers', 'hydra', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_a_run_returns_its_result_and_is_a_row_of_the_table(tmp_path):
    result = run(*QUICK, "decode.max_new_tokens=4", f"runs={tmp_path}")
    table = read_runs(tmp_path)
    assert result["run"]["shots"] == 4 and list(table["scores.bleu"]) == [result["scores"]["bleu"]]


@pytest.mark.parametrize("name", sorted({*peft_cli.__all__} - {"__version__"}))
def test_every_public_name_is_a_documented_function(name):
    assert callable(getattr(peft_cli, name)) and getattr(peft_cli, name).__doc__


def test_a_module_and_its_function_may_have_one_name():
    import peft_cli.train
    from peft_cli import train

    assert train.step is peft_cli.train.step and callable(train)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: load_recipe("few_shot", step=3), "train has no key step"),
        (lambda: load_recipe("few_shot", steps=-3), r"train\.steps=-3 is not possible"),
        (lambda: load_recipe("few_shots"), "there is no train=few_shots; .*did you mean few_shot"),
        (lambda: build_method("lora", load_backbone("tiny-gpt2"), rank=0), r"method\.rank=0 is not possible"),
    ],
)
def test_what_cannot_be_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
