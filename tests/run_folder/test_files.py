import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peft_cli.run_folder import files
from peft_cli.run_folder.files import (
    make_folder,
    one_line,
    open_to_append,
    printable,
    read_json,
    read_lines,
    replace_file,
    warn_once,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
def test_a_json_file_is_an_object_or_a_value_error_that_names_it(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        path.write_bytes(content)
        try:
            assert isinstance(read_json(path), dict)
        except ValueError as error:
            assert str(error).startswith(f"{path} cannot be read: ")


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "[" * 100_000, '{"a": ' + "9" * 10_000 + "}", '{"a": "\ud800'], ids=range(6)
)
def test_a_broken_json_file_is_one_sentence(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"a\.json cannot be read: "):
        read_json(tmp_path / "a.json")


def test_a_json_file_is_read_up_to_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_JSON", 2**20)
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="it has more than 1 MiB"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{" + " " * (2**20 - 2) + "}")
    assert read_json(tmp_path / "b.json") == {}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
    path = tmp_path / "a"
    {"pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/zero"), "folder": path.mkdir}[kind]()
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ValueError, match="cannot be read: it is no regular file"):
        read_json(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == n_open


def test_an_absent_file_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json")


def test_lines_are_read_up_to_a_length(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 4)
    (tmp_path / "a").write_bytes(b"abc\n\nab\nabcde\nx")
    lines = read_lines(tmp_path / "a")
    assert [next(lines), next(lines), next(lines)] == [b"abc\n", b"\n", b"ab\n"]
    with pytest.raises(ValueError, match="a line has more than"):
        next(lines)


@pytest.mark.parametrize("name", ["a", ".a.partial"])
def test_a_file_is_replaced_and_never_written_through_a_link(tmp_path, name):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / name).symlink_to(mine)
    with replace_file(tmp_path / "a") as file:
        file.write("é")
    assert mine.read_text() == "mine" and not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_text(encoding="utf-8") == "é" and not (tmp_path / ".a.partial").exists()


def test_a_file_stays_as_it_was_until_the_other_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((tmp_path / "a").read_text()))
    (tmp_path / "a").write_text("before")
    with pytest.raises(OSError, match="No space"), replace_file(tmp_path / "a") as file:
        file.write("half")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "a").read_text() == "before" and synced == []
    with replace_file(tmp_path / "a", "wb") as file:
        file.write(b"after")
    assert (tmp_path / "a").read_text() == "after" and synced == ["before"]


def test_all_of_a_file_is_written_before_it_is_synced(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    with replace_file(tmp_path / "a") as file:
        file.write("four")
    assert sizes == [4]


def test_lines_are_added_to_the_end_and_never_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "a").symlink_to(mine)
    for text in ("one", "two"):
        with open_to_append(tmp_path / "a") as file:
            file.write(text)
    assert mine.read_text() == "mine" and (tmp_path / "a").read_text() == "onetwo"


def test_a_link_that_takes_the_place_in_between_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "a").symlink_to(tmp_path / "mine")
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    with pytest.raises(OSError, match="symbolic links"):
        open_to_append(tmp_path / "a")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["file", "file/a", "file/a/b"])
def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be a folder, as a part of its path is a file; change runs="):
        make_folder(tmp_path / name)


def test_a_folder_is_made_with_those_above_it(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@given(st.text())
def test_no_text_controls_a_terminal(text):
    line = one_line(text)
    assert (
        len(line.splitlines()) <= 1
        and isinstance(line.encode(), bytes)
        and not set(line) & set("\x1b\x07\x9b\x00\u202e")
    )
    assert len(printable(text)) == len(text)


def test_a_warning_is_given_once(capsys):
    for _ in range(2):
        warn_once("this one\nand\x1b")
    assert capsys.readouterr().err == "peft-run: this one and\N{REPLACEMENT CHARACTER}\n"
