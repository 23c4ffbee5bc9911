"""`peft-run`: the console entry point. Help and the version import nothing of what a run needs."""

from __future__ import annotations

import sys

from peft_cli.cli.command import command, show_page


def main() -> None:
    """Print help or the version, or run what the command line asks for."""
    if show_page(sys.argv[1:]):
        return
    from peft_cli.run import experiment, refuse_impossible, with_sources

    command(experiment, refuse_impossible, with_sources)()


if __name__ == "__main__":
    main()
