"""The harness itself, with models of narrow blocks."""

import json

import pytest
import torch

from tests.bench.__main__ import main, write
from tests.bench.compare import Step, Writing, compare
from tests.bench.lines import Line, Settings
from tests.bench.timing import difference

MACHINE = {"device": "cpu", "name": "a processor", "threads": 1, "torch": "2", "transformers": "5", "peft": "0"}


def test_a_row_is_measured_beside_those_that_are_there(tmp_path):
    write(tmp_path, [Line(12, "help", at_most=0.5, ratio="ours", ours=[0.4, 0.3], machine=MACHINE)])
    assert main(["--rows", "4", "--tiny", "--repeats", "1", "--out", str(tmp_path)]) == 0
    fresh, kept = json.loads((tmp_path / "speed.json").read_text())
    assert (fresh["row"], kept["row"], kept["ours"]) == (4, 12, [0.4, 0.3])
    assert len(fresh["theirs"]) == len(fresh["ours"]) == len(fresh["again"]) == 1
    assert fresh["operations"][0] > fresh["operations"][1] > 0 and "equal to" in fresh["note"]
    table = (tmp_path / "speed.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table if line.endswith("| 1 |")] == ["4"]
    assert "| 12 | help | - | 0.35 s | - | - | - | - | ≤ 0.5 s | yes | 2 |" in table
    assert [line.split("|")[1].strip() for line in table if "not measured" in line] == ["15", "16"]


def step(factor):
    """A step of a linear map whose loss is `factor` times the sum of its outputs."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)

    def add():
        loss = factor * model(torch.ones(1, 3)).sum()
        loss.backward()
        return loss.item()

    return Step(model, add, model.parameters(), lambda: {"weight": model.weight.grad.clone()})


def test_what_is_not_equal_is_not_timed(tmp_path):
    lines = {name: Line(1, name, 1.0, machine=MACHINE) for name in ("equal", "unequal")}
    found = compare(step(1.0), {"equal": step(1.0), "unequal": step(1.001)}, lines, 2, Settings())
    assert [len(line.ours) for line in found] == [2, 0] and not found[1].is_reached
    assert found[1].failure.startswith("not equal: ") and "differs by 1.0e-03" in found[1].failure
    write(tmp_path, found)
    assert "- 1, unequal: not equal: " in (tmp_path / "speed.md").read_text()


def test_what_is_zero_but_for_rounding_is_equal_and_what_is_small_is_not():
    large = torch.ones(4)
    assert difference({"a": large, "b": 1e-9 * large}, {"a": large, "b": -1e-9 * large})[0] < 1e-3
    assert difference({"a": large, "b": 1e-4 * large}, {"a": large, "b": 2e-4 * large}) == (1.0, "b")


def test_other_tokens_are_not_equal():
    ways = [Writing(lambda ids=ids: torch.tensor([ids])) for ids in ([1, 2], [1, 3])]
    (line,) = compare(ways[0], {"ours": ways[1]}, {"ours": Line(6, "beams", 1.0)}, 1, Settings())
    assert line.failure == "not equal: tokens differs by inf" and not line.ours


@pytest.mark.parametrize(
    ("line", "is_reached"),
    [
        (Line(1, "", 2.5, theirs=[5.0, 6.0, 9.0], ours=[2.0, 2.0, 2.0]), True),
        (Line(1, "", 3.5, theirs=[5.0, 6.0, 9.0], ours=[2.0, 2.0, 2.0]), False),
        (Line(1, "", 2.5, of_operations=0.95, operations=[33.0, 10.0], theirs=[6.0], ours=[2.0]), False),
        (Line(1, "", 2.5, of_operations=0.95, operations=[31.0, 10.0], theirs=[6.0], ours=[2.0]), True),
        (Line(8, "", at_most=1.03, ratio="ours / theirs", theirs=[2.0], ours=[2.05]), True),
        (Line(8, "", at_most=1.03, ratio="ours / theirs", theirs=[2.0], ours=[2.1]), False),
        (Line(12, "", at_most=0.5, ratio="ours"), False),
    ],
)
def test_a_target_is_reached_by_the_median_of_the_pairs(line, is_reached):
    assert line.is_reached == is_reached


def test_tiny_models_leave_the_table_of_real_ones_alone(capsys):
    with pytest.raises(SystemExit):
        main(["--rows", "12", "--tiny"])
    assert "--tiny says nothing about speed; give --out" in capsys.readouterr().err
