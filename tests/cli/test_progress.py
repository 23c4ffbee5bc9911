from peft_cli.cli.progress import progress


def test_without_a_terminal_there_are_plain_lines(capsys):
    with progress("train", 3) as done:
        for loss in (3, 2, 1):
            done(1, f"loss {loss}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("train 3/3  loss 1") and "\x1b" not in "".join(lines)
