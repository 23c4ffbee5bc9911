import pytest

from peft_cli.sweep import commands
from peft_cli.sweep.commands import output_of


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("sh", "-c", "echo a; echo b"), "a\nb\n"),
        (("sh", "-c", "echo a; exit 3"), None),
        (("sh", "-c", r"printf '\377'"), "\N{REPLACEMENT CHARACTER}"),
        (("no-such-command",), None),
    ],
)
def test_the_output_of_a_command_is_text_or_none(command, expected):
    assert output_of(*command) == expected


def test_a_command_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.1)
    assert output_of("sleep", "60") is None
