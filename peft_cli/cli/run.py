"""`peft-run`: the console entry point. What a run needs is imported when there is one, so that help stays quick."""

from __future__ import annotations

from peft_cli.cli.command import Work, command


def load() -> Work:
    """Returns what peft-run does with a configuration."""
    from peft_cli.run import experiment, refuse_impossible
    from peft_cli.run_folder.identity import complete

    return Work(experiment, refuse_impossible, complete)


def main() -> None:
    """Does what the command line asks for."""
    command(load)


if __name__ == "__main__":
    main()
