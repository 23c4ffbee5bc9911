from peft_cli.run_folder.progress import progress


def test_without_a_terminal_there_are_plain_lines(capsys):
    with progress("train", 3) as done:
        for loss in (3, 2, 1):
            done(1, f"loss {loss}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("train 3/3  loss 1") and "\x1b" not in "".join(lines)


def test_a_line_is_printed_every_ten_seconds_and_what_was_done_earlier_does_not_count_as_quick(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with progress("train", 20, before=10) as done:
        for seconds in (4.0, 8.0, 12.0, 16.0):
            clock[0] = seconds
            done()
    assert capsys.readouterr().err.splitlines() == ["train 13/20    28 s left"]
