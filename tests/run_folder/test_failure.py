import errno
import os

import pytest

from peft_cli.run_folder.failure import Failure, failure_of, repeat_command, sentence
from peft_cli.run_folder.files import make_folder


def caught(act) -> Failure:
    try:
        act()
    except Exception as error:
        return failure_of(error)
    raise AssertionError("nothing was raised")


def fail(error):
    raise error


def test_a_value_error_of_the_package_is_a_wrong_request(tmp_path):
    (tmp_path / "file").touch()
    failure = caught(lambda: make_folder(tmp_path / "file"))
    assert failure.is_wrong_request and failure.reason.startswith(f"{tmp_path}/file cannot be a folder")


def test_a_value_error_of_another_package_is_a_bug():
    assert caught(lambda: int("x")) == Failure("ValueError: invalid literal for int() with base 10: 'x'", False)


@pytest.mark.parametrize(
    ("number", "is_wrong"),
    [
        *((number, True) for number in (errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EISDIR)),
        *((number, True) for number in (errno.ENAMETOOLONG, errno.EEXIST, errno.ELOOP)),
        (errno.ENOSPC, False),
        (errno.EIO, False),
    ],
)
def test_a_path_that_cannot_be_used_is_a_wrong_request(number, is_wrong):
    failure = caught(lambda: fail(OSError(number, os.strerror(number), "a.csv")))
    assert failure.is_wrong_request is is_wrong and f"a.csv: {os.strerror(number)}" in failure.reason


def test_an_error_is_one_line_that_controls_no_terminal():
    assert sentence(RuntimeError("one\n  two\x1b[2J")) == "one two\N{REPLACEMENT CHARACTER}[2J"
    assert caught(lambda: fail(KeyError())) == Failure("KeyError", False)


def test_a_command_is_quoted_for_a_shell():
    assert repeat_command(["method=pt", "data.text=a b"]) == "peft-run method=pt 'data.text=a b'"
