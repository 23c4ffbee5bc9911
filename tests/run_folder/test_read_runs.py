import json
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peft_cli.run_folder.read_runs import read_runs

NAMES = ["data", "backbone", "method", "shots", "seed", "data_seed", "test_limit"]


def result(seed=0, **changes):
    return {
        "run": {**dict(zip(NAMES, ["mini", "tiny", "pt", 50, seed, 0, None], strict=True))},
        "scores": {"bleu": 10.0 + seed, "meteor": None},
        "cost": {"params_trained": 64, "step_seconds": {"median": 0.5}},
        "training": {"best_step": 30},
        "config": {"seed": seed, "method": {"lr": 0.1, "parts": ["query", "key"]}, "more_metrics": [["a"], []]},
        "data": {"train_ids": ["train-0"]},
        **changes,
    }


def write(folder, content):
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_run_is_a_row_with_dotted_names(tmp_path):
    folder = write(tmp_path / "a" / "seed=0", result())
    write(tmp_path / "b" / "seed=1", result(1, training=None))
    table = read_runs(tmp_path / "a", str(tmp_path / "b"))
    assert list(table.columns) == [
        *NAMES, "scores.bleu", "scores.meteor", "cost.params_trained", "cost.step_seconds.median",
        "training.best_step", "config.seed", "config.method.lr", "config.method.parts", "config.more_metrics", "folder",
    ]  # fmt: skip
    assert table["scores.bleu"].tolist() == [10, 11] and table["shots"].tolist() == [50, 50]
    assert table["scores.meteor"].isna().all() and table["training.best_step"].isna().tolist() == [False, True]
    assert table["folder"][0] == str(folder)
    assert table.groupby("config.method.parts")["scores.bleu"].mean()[("query", "key")] == 10.5
    assert table["config.more_metrics"][0] == (("a",), ())


def test_the_columns_of_a_section_stand_together_whatever_runs_have_them(tmp_path):
    write(tmp_path / "a", result(scores={"bleu": 1.0}))
    write(tmp_path / "b", result(scores={"rouge": 2.0}, config={"new": 1}))
    sections = [name.partition(".")[0] for name in read_runs(tmp_path).columns]
    assert sections == [*NAMES, *["scores"] * 2, *["cost"] * 2, "training", *["config"] * 5, "folder"]


def test_other_systems_are_rows_without_costs(tmp_path):
    write(tmp_path / "a", result())
    write(tmp_path / "b", {"run": {"data": "mini", "backbone": "-", "method": "tgen"}, "system": {}, "scores": {}})
    table = read_runs(tmp_path)
    assert table["method"].tolist() == ["pt", "tgen"] and table["cost.params_trained"].isna().tolist() == [False, True]


def test_runs_without_a_result_are_left_out_in_silence(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.jsonl").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_runs(tmp_path).empty and list(read_runs(tmp_path).columns) == [*NAMES, "folder"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        result(run="mini"),
        result(run={"data": 1, "backbone": "tiny", "method": "pt"}),
        result(scores=[1]),
        result(scores={"bleu": "1"}),
        json.dumps(result()).replace("10.0", "1e999"),
        json.dumps(result()).replace("10.0", "NaN"),
        result(cost={"params_trained": 10**30}),
        result(config={str(i): i for i in range(3000)}),
        json.dumps(result(config="X")).replace('"X"', '{"a":' * 100_000 + "1" + "}" * 100_000),
    ],
    ids=range(12),
)
def test_a_broken_result_is_left_out_with_a_warning_that_names_it(tmp_path, content):
    write(tmp_path / "a", result())
    write(tmp_path / "b", content)
    with pytest.warns(UserWarning, match=f"{tmp_path}/b/result.json") as caught:
        assert len(read_runs(tmp_path)) == 1
    assert len(caught) == 1 and caught[0].filename == __file__


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=30)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("scores", "cost", "training", "config"), JSON)))
def test_any_result_is_a_row_or_a_warning(changes):
    with TemporaryDirectory() as folder:
        write(Path(folder) / "a", result())
        write(Path(folder) / "b", result(**changes))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert len(read_runs(folder)) + len(caught) == 2


@pytest.mark.parametrize(("folders", "sentence"), [([], "read_runs needs a folder"), (["no"], "there is no folder no")])
def test_no_folder_is_one_sentence(folders, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_runs(*folders)


def test_a_notebook_needs_no_torch_for_it(tmp_path):
    write(tmp_path / "a", result())
    code = f"import sys; from peft_cli.run_folder.read_runs import read_runs; read_runs({str(tmp_path)!r})"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    assert printed == "False\n"
