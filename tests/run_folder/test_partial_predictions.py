import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_cli.run_folder import files
from peft_cli.run_folder.partial_predictions import PartialPredictions, checksum

MADE_OF = {"tensors": "abc", "test": "def"}
HEAD = '{"made_of": {"tensors": "abc", "test": "def"}}\n'
NAME = "predictions.partial.jsonl"


@pytest.fixture
def path(tmp_path):
    return tmp_path / NAME


def line(texts, seconds=1.0):
    return json.dumps({"texts": texts, "seconds": seconds, "sha256": checksum(texts, seconds)}) + "\n"


def test_predictions_are_kept_over_a_kill(path, capsys):
    kept = PartialPredictions(path, MADE_OF)
    kept.add({3: "one\ntwo", 1: "é"}, 0.5)
    kept.add({0: "three"}, 0.25)
    with path.open("a") as file:
        file.write('{"texts": {"2": "hal')
    again = PartialPredictions(path, dict(reversed(MADE_OF.items())))
    assert again.texts == {3: "one\ntwo", 1: "é", 0: "three"} and again.seconds == 0.75
    again.add({2: "four"}, 0.25)
    last = PartialPredictions(path, MADE_OF)
    assert last.texts[2] == "four" and len(last.texts) == 4 and last.seconds == 1.0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", ["", HEAD, HEAD + line({"0": "x"}), '{"made_of', "\n" + HEAD])
def test_predictions_made_of_something_else_are_worth_nothing(path, content):
    path.write_text(content)
    kept = PartialPredictions(path, MADE_OF | {"test": "other"})
    assert kept.texts == {} and kept.seconds == 0 and json.loads(path.read_text()) == {"made_of": kept_of("other")}


def kept_of(test):
    return MADE_OF | {"test": test}


@pytest.mark.parametrize(
    "broken",
    [
        "garbage\n",
        "[]\n",
        "[" * 100_000 + "\n",
        line({"1": "x"}).replace('"x"', '"y"'),
        line({"1": "x"}).replace("1.0", "2.0"),
        line({"1": None}),
        line({"one": "x"}),
        line({"1": "\ud800"}),
        line({"1": "x"}, None),
        line({"1": "x"}, float("nan")),
        line({"1": "x"}, float("inf")),
        line({"1": "x"}, 10**400),
        line(["x"]),
        "{}\n",
        "\n",
    ],
)
def test_a_line_that_has_changed_is_dropped_with_a_warning_that_names_the_file(path, capsys, broken):
    path.write_text(HEAD + line({"0": "a"}) + broken + line({"2": "c"}))
    kept = PartialPredictions(path, MADE_OF)
    assert kept.texts == {0: "a", 2: "c"} and kept.seconds == 2.0
    assert f"{path}: " in (err := capsys.readouterr().err) and "predicted again" in err
    assert path.read_text() == HEAD + line({"0": "a"}) + line({"2": "c"})


@given(
    st.binary(max_size=120) | st.lists(st.text()).map(json.dumps).map(str.encode),
    st.integers(0, 400),
    st.integers(0, 255),
)
def test_any_change_drops_lines_and_alters_none(inserted, position, byte):
    whole = (HEAD + line({"0": "a", "5": "é"}) + line({"2": "c"})).encode()
    position = min(position, len(whole) - 1)
    changed = whole[:position] + bytes([whole[position] ^ byte]) + inserted + whole[position + 1 :]
    with TemporaryDirectory() as folder:
        (Path(folder) / NAME).write_bytes(changed)
        kept = PartialPredictions(Path(folder) / NAME, MADE_OF)
        assert kept.texts.items() <= {0: "a", 5: "é", 2: "c"}.items()
        kept.add({7: "z"}, 1.0)
        assert PartialPredictions(Path(folder) / NAME, MADE_OF).texts == kept.texts | {7: "z"}


def test_a_line_that_is_too_long_ends_the_reading(path, monkeypatch, capsys):
    monkeypatch.setattr(files, "LONGEST_LINE", 2**10)
    path.write_text(HEAD + line({"0": "a"}) + "x" * 2**11 + "\n" + line({"2": "c"}))
    assert PartialPredictions(path, MADE_OF).texts == {0: "a"}
    assert "a line has more than" in capsys.readouterr().err


def test_nothing_is_written_through_a_link(path, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text(HEAD + line({"0": "a"}))
    path.symlink_to(mine)
    PartialPredictions(path, MADE_OF).add({1: "b"}, 1.0)
    assert mine.read_text() == HEAD + line({"0": "a"}) and not path.is_symlink()
