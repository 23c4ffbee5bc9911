"""Paired comparisons: which runs are paired, what is significant, and what is bold."""

import pytest
from scipy.stats import t

from peft_cli.report.compare import best, comparison_grid, find_baseline, pairs_of, win_shares
from peft_cli.report.runs import parse_run
from peft_cli.report.tables import labels, rows
from tests.cli.test_report import make_result


def made(**scores):
    """Rows of methods whose BLEU over seeds 0, 1, ... is given."""
    results = [make_result(name, seed=seed, scores={"bleu": bleu, "ter": 100 - bleu})
               for name, values in scores.items() for seed, bleu in enumerate(values)]  # fmt: skip
    return rows([parse_run(f"{i}", result) for i, result in enumerate(results)])


def cells(grid):
    return {row[0].text: [cell.text for cell in row[1:]] for row in grid.rows}


TEN = [40.0, 41.0, 40.5, 42.0, 39.0, 40.2, 41.1, 40.9, 39.9, 40.4]


def test_the_difference_is_over_pairs():
    grid = comparison_grid(made(pt=[40.0, 41.0, 42.0], ft=[43.0, 43.5, 46.0]), "pt", "bleu", 0)
    half = t.ppf(0.975, 2) * 0.7637626 / 3**0.5
    assert cells(grid)["ft"] == ["3", f"+3.2 ± {half:.1f}", "3 of 3", "0.25", "0.25", "0.25"]


def test_only_the_same_seeds_and_examples_are_paired():
    results = [make_result("pt", seed=seed) for seed in (0, 1, 2)] + [
        make_result("ft", seed=seed) for seed in (1, 2, 3)
    ]
    results[-2]["data"]["sha256"]["train"] = "others"
    ft, pt = sorted(rows([parse_run(f"{i}", result) for i, result in enumerate(results)]), key=lambda row: row.method)
    assert [one.fields["run.seed"] for one, *_ in pairs_of(ft, pt, "bleu")] == [1]


def test_what_is_significant_after_holm_is_bold():
    grid = comparison_grid(made(pt=TEN, ft=[x + 3 for x in TEN], lora=TEN[::-1]), "pt", "bleu", 0)
    bold = {row[0].text: row[2].is_bold for row in grid.rows}
    assert bold == {"ft": True, "lora": False}
    assert cells(grid)["ft"][3:] == ["0.002", "0.002", "0.0039"]


@pytest.mark.parametrize(("n", "name"), [(10, "ft"), (5, None)])
def test_nothing_is_best_that_is_not_significantly_so(n, name):
    found = best(made(pt=TEN[:n], ft=[x + 3 for x in TEN[:n]], lora=[x + 1 for x in TEN[:n]]), "bleu")
    assert (found and found.method) == name


def test_less_ter_is_better():
    assert best(made(pt=TEN, ft=[x + 3 for x in TEN]), "ter").method == "ft"
    grid = comparison_grid(made(pt=TEN, ft=[x + 3 for x in TEN]), "pt", "ter", 0)
    assert cells(grid)["ft"][1:3] == ["-3.0 ± 0.0", "10 of 10"]


def test_a_baseline_that_is_absent_or_several_has_a_reason():
    twice = made(pt=TEN) + made(pt=TEN)
    assert "no adapter to compare with" in find_baseline(twice, "adapter")
    lr = [make_result(config__method__lr=lr) for lr in (0.1, 0.2)]
    found = rows([parse_run(f"{i}", result) for i, result in enumerate(lr)])
    assert "pt has 2 rows" in find_baseline(found, "pt") and find_baseline(found, "pt (method.lr=0.2)") is found[1]
    assert "no run shares" in comparison_grid(made(pt=[1.0]), "pt", "bleu", 0)


def test_win_shares_add_up_to_one():
    group = made(pt=[1.0, 2.0, 3.0, 4.0], ft=[2.0, 1.0, 3.0, 5.0])
    shares = win_shares([list(zip(labels(group), group, strict=True))], "bleu")
    assert shares == {("pt", "ft"): (0.375, 4), ("ft", "pt"): (0.625, 4)}
