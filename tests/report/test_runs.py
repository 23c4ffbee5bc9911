"""Results from anywhere: what a run has of them, what is chosen, and what is left out with a reason."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peft_cli.report.folders import BROKEN, Attempt, Inventory
from peft_cli.report.formats import formats, render
from peft_cli.report.full import full
from peft_cli.report.performance import performance
from peft_cli.report.runs import check_metrics, metrics_of, parse_run
from peft_cli.report.tables import tables
from tests.cli.test_report import make_result, untouched

FOLDER = Path("runs")
SYSTEM = make_result("TGen", shots=None, seed=None, data_seed=None) | {"system": {"name": "TGen", "sha256": "ab" * 32}}
GOOD = [parse_run(FOLDER, result) for result in (make_result("ft"), make_result("ft", seed=1), untouched())]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, 0, -1, "=1+1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(node, above=()):
    """The path of every value and every mapping in a result."""
    for key, value in node.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def changed(result, path, value):
    """A copy of a result with another value at a path; with nothing there for ..."""
    made = deepcopy(result)
    *parents, last = path
    inner = made
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


@pytest.mark.parametrize("result", [make_result(), untouched(), SYSTEM], ids=["run", "untouched", "system"])
@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_result_with_anything_in_it_is_left_out_or_shown_in_every_format(result, data):
    path = data.draw(st.sampled_from(list(paths(result))))
    try:
        run = parse_run(FOLDER, changed(result, path, data.draw(VALUES | st.just(...))))
    except BROKEN as error:
        assert len(str(error)) < 300
        return
    inventory = Inventory([*GOOD, run], [Attempt(FOLDER, "failed", "no reason")], [])
    sections = [*full(inventory, [], "ft", 10, False), *performance(tables([run]), [])]
    for name in formats():
        render(name, sections, inventory.runs).encode()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("scores.bleu", "40", "scores.bleu is 40 and has to be a finite number"),
        ("scores.bleu", 1e308, "scores.bleu is 1e.308 and has to be a finite number"),
        ("scores.bleu", float("nan"), "scores.bleu is NaN and has to be a finite number"),
        ("cost.params_backbone", 0, "cost.params_backbone is 0 and has to be a number above 0"),
        ("data.n_test", None, "data.n_test is null and has to be a number above 0"),
        ("run.shots", "many", "run.shots is many and has to be a whole number"),
        ("run.seed", [0], r"run.seed is \[0\] and has to be a whole number"),
        ("run.method", "m" * 201, "run.method is mmmm.* and has to be a text of at most 200 characters"),
        ("run.method", ..., "it has no run.method"),
        ("cost.step_seconds.median", 10**400, "int too large"),
    ],
)
def test_what_no_table_can_show_is_refused_with_its_field(path, value, reason):
    with pytest.raises(BROKEN, match=reason):
        parse_run(FOLDER, changed(make_result(), path.split("."), value))


def test_metrics_are_named_as_in_a_table():
    runs = [parse_run(FOLDER, make_result())]
    assert metrics_of(runs, ["validation loss", "rougeL"]) == ["rougeL", "validation loss"]
    assert runs[0].score("validation loss") == 5.4 and runs[0].score("bleu") == 40.0
    check_metrics(runs, ["bleu", "validation loss"])
    with pytest.raises(ValueError, match="no run has a score validation metric; there are bleu, rougeL, validation"):
        check_metrics(runs, ["validation metric"])


def test_the_result_of_a_run_is_json():
    assert parse_run(FOLDER, json.loads(json.dumps(make_result()))).fields["config.method.lr"] == 0.01
