import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from peft_cli.run_folder.tensors import TENSORS, describe_shapes, read_tensors


def write(folder, content):
    (folder / TENSORS).write_bytes(content)
    return folder


def test_stored_tensors_are_read(tmp_path):
    stored = {"a": torch.randn(2, 3)}
    save_file(stored, tmp_path / TENSORS)
    assert torch.equal(read_tensors(tmp_path)["a"], stored["a"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**30) + b"{}",  # a header of a gigabyte
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 72) + b'{"a":{"dtype":"F32","shape":[9000000000],"data_offsets":[0,36000000000]}}'[:72],
    ],
    ids=["empty", "huge header", "endless header", "huge tensor"],
)
def test_a_broken_file_is_one_sentence(tmp_path, content):
    with pytest.raises(
        ValueError, match=r"method.safetensors cannot be read \(.*\); delete its folder and run it again"
    ):
        read_tensors(write(tmp_path, content))


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda text: struct.pack("<Q", len(text)) + text))
def test_any_file_is_tensors_or_one_sentence(content):
    with TemporaryDirectory() as folder:
        try:
            assert isinstance(read_tensors(write(Path(folder), content)), dict)
        except ValueError as error:
            assert TENSORS in str(error)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=TENSORS):
        read_tensors(tmp_path)


def test_shapes_of_many_tensors_are_those_of_the_first_few():
    state = {name: torch.zeros(n + 1) for n, name in enumerate("abcdef")}
    assert describe_shapes(state) == "a [1], b [2], c [3], d [4], 2 more" and describe_shapes({}) == "none"
    assert describe_shapes({name: state[name] for name in "abcde"}) == "a [1], b [2], c [3], d [4], e [5]"
