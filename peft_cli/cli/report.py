"""`peft-report`: tables and figures of finished runs. Imports neither torch nor transformers."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from peft_cli.report.document import Section
from peft_cli.report.folders import Inventory, find_runs
from peft_cli.report.formats import format_module, formats, render
from peft_cli.report.performance import performance, runs_without_result
from peft_cli.report.runs import check_metrics, where
from peft_cli.report.tables import tables
from peft_cli.run_folder.files import one_line

PLAIN = str.maketrans({"±": "+-", "≈": "~", "·": "-"})  # for a terminal without such signs


class Parser(ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises ValueError for a command line that cannot be read."""
        raise ValueError(f"{message}; peft-report --help lists what there is")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report and returns the exit code: 0, or 2 for a request that cannot be met."""
    try:
        report(parse(arguments))
        return 0
    except BrokenPipeError:  # `peft-report | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"peft-report: {one_line(text)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Returns the command line's folders, choices and files."""
    parser = Parser(
        "peft-report",
        description="Prints a table for each data set, backbone and number of shots below FOLDER, or one of your own.",
    )
    parser.add_argument("folders", nargs="*", default=[Path("runs")], type=Path, metavar="FOLDER", help="default: runs")
    parser.add_argument("--status", action="store_true", help="count the runs in each state, with reasons")
    parser.add_argument("--stale", action="store_true", help="list the runs that no file in experiments/ has")
    add_selection(parser)
    add_full(parser)
    add_files(parser)
    return parser.parse_args(arguments)


def add_selection(parser: ArgumentParser) -> None:
    """Adds the options that choose runs, metrics, and the keys of a table."""
    group = parser.add_argument_group("which runs and scores")
    text = "only runs with these values, such as data=mini shots=10,50 method.lr=0.3"
    group.add_argument("--where", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    for name in ("rows", "columns"):
        text = f"one table with these {name}: method, backbone, data, shots, seed or any key of a run, with commas"
        group.add_argument(f"--{name}", type=split_commas, default=[], metavar="KEY", help=text)
    text = "only these metrics, with commas, named as in a table (default: all)"
    group.add_argument("--metric", type=split_commas, default=[], help=text)


def add_full(parser: ArgumentParser) -> None:
    """Adds the options of the whole report and of the papers' tables."""
    group = parser.add_argument_group("the whole report")
    text = "comparisons, costs, figures and the papers' numbers beside ours too"
    group.add_argument("--full", action="store_true", help=text)
    text = "--full without figures, which take most of its time"
    group.add_argument("--no-figures", action="store_true", help=text)
    text = "what each method is compared with, on the same draws and seeds (default: pt)"
    group.add_argument("--baseline", default="pt", metavar="METHOD", help=text)
    text = "resamples of the test examples for the second opinion (default: 1000, or 0, none, over very many examples)"
    group.add_argument("--resamples", type=int, metavar="N", help=text)
    text = "tables of papers, every number beside ours, with commas; all shows all"
    group.add_argument("--paper", type=split_commas, default=[], metavar="NAME", help=text)
    text = "print the commands that repeat a paper's table, with commas"
    group.add_argument("--reproduce", type=split_commas, default=[], metavar="NAME", help=text)


def add_files(parser: ArgumentParser) -> None:
    """Adds the options of formats and files."""
    group = parser.add_argument_group("formats")
    group.add_argument("--format", choices=formats(), default="markdown", help="of what is printed (default: markdown)")
    for name in formats():
        text = f"also write {format_module(name).DESCRIPTION}"
        group.add_argument(f"--{name}", type=Path, metavar="PATH", help=text)
    text = "write what a sweep found there as Markdown: scores by shots, comparison, costs, and figures/ beside it"
    group.add_argument("--summary", type=Path, metavar="PATH", help=text)
    text = "write --full there in every format, with its figures (PDF, PNG)"
    group.add_argument("--out", type=Path, metavar="FOLDER", help=text)


def split_commas(text: str) -> list[str]:
    """Returns the parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def report(options: Namespace) -> None:
    """Reads, tabulates, writes and prints what `options` choose."""
    if options.status or options.stale:
        from peft_cli.sweep.status import stale, status

        for part in [status] * options.status + [stale] * options.stale:
            print_text(part(options.folders) + "\n")
    elif options.reproduce:
        from peft_cli.report.papers import commands

        print_text("".join(f"{line}\n" for line in commands(options.reproduce)))
    else:
        report_runs(options)


def report_runs(options: Namespace) -> None:
    """Reads the runs, writes what is asked for, and prints it."""
    inventory = find_runs(options.folders)
    for reason in inventory.warnings:
        print(f"peft-report: warning: left out: {reason}", file=sys.stderr)
    inventory = inventory._replace(runs=where(inventory.runs, options.where))
    check_metrics(inventory.runs, options.metric)
    if options.summary:
        from peft_cli.report.summary import write_summary  # not at the top: matplotlib

        write_summary(options.summary, inventory, options.metric, options.baseline, options.resamples)
    sections = content(inventory, options)
    for name in formats():
        if path := getattr(options, name):
            path.write_text(render(name, sections, inventory.runs), encoding="utf-8", newline="")
    if options.out:
        write_all(options.out, sections, inventory)
        sections = brief(inventory, options)
    print_text(render(options.format, sections, inventory.runs))


def content(inventory: Inventory, options: Namespace) -> list[Section]:
    """Returns the sections that are asked for."""
    if options.rows or options.columns:
        from peft_cli.report.pivot import pivot

        return list(pivot(inventory, options.rows, options.columns, options.metric))
    if options.paper:
        from peft_cli.report.papers import chosen_tables

        return list(chosen_tables(inventory.runs, options.paper))
    if options.full or options.out:
        from peft_cli.report.full import full

        return list(full(inventory, options.metric, options.baseline, options.resamples, not options.no_figures))
    return brief(inventory, options)


def brief(inventory: Inventory, options: Namespace) -> list[Section]:
    """Returns the tables of all runs, and what has no row."""
    return [*performance(tables(inventory.runs), options.metric), *runs_without_result(inventory)]


def write_all(folder: Path, sections: Sequence[Section], inventory: Inventory) -> None:
    """Writes the report in every format, and its figures."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure in (figure for section in sections for figure in section.figures):
        (folder / "figures" / f"{figure.name}.pdf").write_bytes(figure.pdf)
        (folder / "figures" / f"{figure.name}.png").write_bytes(figure.png)
    for name in formats():
        path = folder / f"report{format_module(name).SUFFIX}"
        path.write_text(render(name, sections, inventory.runs), encoding="utf-8", newline="")
    print(f"peft-report: written to {folder}: report.* and figures/", file=sys.stderr)


def print_text(text: str) -> None:
    """Prints a text; where the terminal's encoding lacks a sign, in signs that it has."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    print(text, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
