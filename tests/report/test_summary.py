"""The page about a sweep: scores by shots, a comparison for each of them, costs once, three figures beside it."""

import re

import pytest

from peft_cli.cli.report import main
from peft_cli.report.summary import FIGURES
from tests.report.results import METHODS, result, study, write_study


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    methods = {name: METHODS[name] for name in ("pt", "lora", "ft")}
    return write_study(tmp_path_factory.mktemp("study"), study(methods, shots=(10, 50), seeds=range(6)))


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("experiments") / "study.md"
    assert main([str(runs), "--where", "data=mini", "--metric", "bleu", "--summary", str(path)]) == 0
    return path


def test_it_has_scores_comparisons_and_costs(page):
    text = page.read_text(encoding="utf-8")
    assert re.findall("^##+ .*", text, re.MULTILINE)[:5] == [
        "## mini · tiny-gpt2: bleu by method and shots",
        "## Differences over the same examples and seeds",
        "### 10 shots, bleu: difference from pt",
        "### 50 shots, bleu: difference from pt",
        "## Costs with 50 shots",
    ]
    assert text.count("- p: exact sign-flip test") == 1 and "Cost relative" not in text
    assert re.search(r"^\| lora .*\| +6 of 6 \| +0\.031 ", text, re.MULTILINE)


def test_its_figures_lie_beside_it(page):
    shown = re.findall(r"\]\((.*?)\)", page.read_text(encoding="utf-8").partition("## Figures")[2])
    assert [name.removeprefix("figures/").partition("-")[0] for name in shown] == list(FIGURES)
    assert all((page.parent / name).stat().st_size > 1000 for name in shown)


def test_it_is_of_one_data_set(runs, tmp_path, capsys):
    assert main([str(runs), "--summary", str(tmp_path / "study.md")]) == 2
    assert "--where data=" in capsys.readouterr().err


def test_rows_of_one_method_with_other_settings_stand_in_a_table_of_rows(tmp_path):
    results = study({"pt": METHODS["pt"]}, shots=(50,), seeds=range(3), data=("mini",))
    results += [
        result("lora", 50, seed, config__method={"rank": rank, "lr": 1e-3}) for rank in (2, 8) for seed in range(3)
    ]
    runs, path = write_study(tmp_path / "runs", results), tmp_path / "study.md"
    assert main([str(runs), "--metric", "bleu", "--summary", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("## mini · tiny-gpt2 · 50 shots\n")
    assert "| lora (method.rank=2)" in text and "| lora (method.rank=8)" in text


def test_an_option_that_is_null_or_a_mapping_is_told_once(tmp_path):
    settings = [{"on_top": None, "options": None}, {"on_top": "ft", "options": {"lr": 3e-4}}]
    results = [result("lora", 50, seed, config__method=method) for method in settings for seed in range(2)]
    path = tmp_path / "study.md"
    assert main([str(write_study(tmp_path / "runs", results)), "--metric", "bleu", "--summary", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert "| lora (method.on_top=null) " in text and "| lora (method.on_top=ft, method.options.lr=0.0003) " in text


def test_an_untouched_backbone_with_a_head_is_a_line_and_no_point(tmp_path):
    results = study({name: METHODS[name] for name in ("pt", "ft")}, shots=(50,), seeds=range(2), data=("mini",))
    results[0]["cost"]["params_stored"] = 38_214
    path = tmp_path / "study.md"
    assert main([str(write_study(tmp_path / "runs", results)), "--metric", "bleu", "--summary", str(path)]) == 0
    assert (tmp_path / "figures" / "parameters-mini-tiny-gpt2-bleu.png").is_file()
