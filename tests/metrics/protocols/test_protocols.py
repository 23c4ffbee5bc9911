import sys
from importlib import import_module
from pathlib import Path

import pytest

from peft_cli.metrics import find_metric, make_items, protocols
from peft_cli.metrics.protocols import load_protocol

NAMES = sorted(path.stem for path in Path(protocols.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_has_the_name_of_its_file_and_metrics_that_exist(name):
    protocol = load_protocol(name)
    assert protocol.name == name and protocol.metrics and all(find_metric(metric) for metric in protocol.metrics)


def test_another_name_is_told_what_there_is():
    with pytest.raises(ValueError, match="protocol=e3e is not possible; there are dart, e2e, glue"):
        load_protocol("e3e")


def test_a_protocol_tells_what_package_it_lacks(monkeypatch):
    monkeypatch.delitem(sys.modules, "peft_cli.metrics.protocols.webnlg2017", raising=False)
    monkeypatch.setitem(sys.modules, "unidecode", None)
    with pytest.raises(ValueError, match=r"needs the package unidecode; pip install 'peft-cli\[nlg\]'"):
        load_protocol("webnlg2017")


@pytest.mark.parametrize("name", ["webnlg2017", "dart"])
def test_texts_are_normalised_as_the_official_scripts_do(golden, texts, name):
    items = make_items(*texts, load_protocol(name))
    assert items.predictions == golden[name]["normalised"]["hyps"]
    assert items.references == golden[name]["normalised"]["refs"]


@pytest.mark.parametrize(
    ("name", "items", "least", "most"), [("testset_w_refs.csv", 630, 1, 45), ("devset.csv", 547, 2, 43)]
)
def test_e2e_groups_equal_inputs(e2e_rows, name, items, least, most):
    sources, references = e2e_rows(name)
    found = make_items(sources, references, load_protocol("e2e"), sources)
    counts = list(map(len, found.references))
    assert (len(found.predictions), min(counts), max(counts), sum(counts)) == (items, least, most, len(sources))


@pytest.mark.parametrize(("name", "most"), [("webnlg2017", 3), ("webnlg2020", 4)])
def test_webnlg_has_an_item_for_each_entry(webnlg, name, most):
    found = make_items(webnlg[0], webnlg[1], load_protocol(name), webnlg[0])
    assert len(found.predictions) == 1862 and max(map(len, found.references)) == most


@pytest.mark.parametrize(("name", "items", "most"), [("dart", 5097, 3), ("lora_geneval", 4159, 6)])
def test_dart_is_scored_by_entries_or_by_inputs(dart, name, items, most):
    found = make_items(dart[0], dart[1], load_protocol(name), dart[0])
    assert len(found.predictions) == items and max(map(len, found.references)) == most


def test_the_last_prediction_for_an_input_counts():
    found = make_items(["a", "b", "c"], [["x"], ["y"], ["z"]], load_protocol("e2e"), ["s", "t", "s"])
    assert (found.predictions, found.references, found.indices) == (["c", "b"], [["x", "z"], ["y"]], [0, 1, 0])


def test_an_empty_reference_is_none_and_takes_its_place_among_the_first():
    (found,) = make_items(["a"], [["x", " ", "y", "z"]], load_protocol("dart")).references
    assert found == ["x", "y"]


def test_repeating_fills_up_with_the_first_reference():
    (found,) = make_items(["a"], [["x", "y"]], load_protocol("lora_geneval")).references
    assert found == ["x", "y", "x", "x", "x", "x"]


def test_only_xsum_keeps_lines():
    text = "a  b\r\nc\u2028d\n\n e"
    kept = {name: import_module(f"peft_cli.metrics.protocols.{name}").PROTOCOL.prediction(text) for name in NAMES}
    assert kept.pop("xsum") == "a b\nc d\ne" and set(kept.values()) == {"a b c d e"}
