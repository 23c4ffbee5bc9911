"""`peft-report`: tables and figures of finished runs. Imports neither torch nor transformers.

folders -> runs -> tables -> sections (grids, notes, figures) -> a format
           runs.py tables.py performance.py pivot.py           formats/
                             compare.py costs.py papers.py figures/
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from peft_cli.report.document import Section
from peft_cli.report.formats import formats, module, written
from peft_cli.report.performance import performance, remarks
from peft_cli.report.runs import Found, find, sentence, where
from peft_cli.report.tables import tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report and returns the exit code: 0, or 2 for a request that cannot be met."""
    try:
        return report(parse(arguments))
    except BrokenPipeError:  # `peft-report | head`: who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"peft-report: {sentence(error)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The command line's folders, choices and files."""

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}; peft-report --help shows what there is")

    parser = ArgumentParser(
        "peft-report",
        description="Prints a table for each data set, backbone and number of shots below FOLDER, or one of your own.",
    )
    parser.error = refuse
    parser.add_argument(
        "folders",
        nargs="*",
        default=[Path("runs")],
        type=Path,
        metavar="FOLDER",
        help="folders of runs (default: runs)",
    )
    parser.add_argument("--status", action="store_true", help="tell how many runs are in which state, and why")
    parser.add_argument("--stale", action="store_true", help="list the runs that no file in experiments/ asks for")
    add_table(parser)
    add_full(parser)
    add_files(parser)
    return parser.parse_args(arguments)


def add_table(parser: ArgumentParser) -> None:
    """The options that choose runs and make a table of one's own."""
    group = parser.add_argument_group("which runs and scores")
    group.add_argument(
        "--where",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with these values, such as data=mini shots=10,50 method.lr=0.3",
    )
    for name in ("rows", "columns"):
        text = f"one table with these {name}: method, backbone, data, shots, seed or any key of a run, with commas"
        group.add_argument(f"--{name}", type=listed, default=[], metavar="KEY", help=text)
    group.add_argument("--metric", type=listed, default=[], help="only these metrics, with commas (default: all)")


def add_full(parser: ArgumentParser) -> None:
    """The options of the whole report and of the papers' tables."""
    group = parser.add_argument_group("the whole report")
    flags = {
        "--full": "comparisons, costs, figures and the papers' numbers beside ours too",
        "--no-figures": "--full without figures, which take most of its time",
    }
    for flag, text in flags.items():
        group.add_argument(flag, action="store_true", help=text)
    text = "what each method is compared with, on the same draws and seeds (default: pt)"
    group.add_argument("--baseline", default="pt", metavar="METHOD", help=text)
    text = "resamples of the test examples for the second opinion (default: 1000, or 0, none, over very many examples)"
    group.add_argument("--resamples", type=int, metavar="N", help=text)
    text = "tables of papers, every number beside ours, with commas; all shows all"
    group.add_argument("--paper", type=listed, default=[], metavar="NAME", help=text)
    text = "print the commands that repeat a paper's table, with commas"
    group.add_argument("--reproduce", type=listed, default=[], metavar="NAME", help=text)


def add_files(parser: ArgumentParser) -> None:
    """The options that say where to and as what."""
    group = parser.add_argument_group("as what")
    group.add_argument("--format", choices=formats(), default="markdown", help="of what is printed (default: markdown)")
    for name in formats():
        group.add_argument(f"--{name}", type=Path, metavar="PATH", help=f"also write {module(name).TELLS}")
    text = "write what a sweep found there as Markdown: scores by shots, comparison, costs, and figures/ beside it"
    group.add_argument("--summary", type=Path, metavar="PATH", help=text)
    group.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write --full there in every format, with its figures (PDF, PNG)"
    )


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def report(options: Namespace) -> int:
    """Reads, tabulates, writes and prints what `options` ask for."""
    if options.status or options.stale:
        from peft_cli.sweep.status import stale, status

        print("\n".join(tell(options.folders) for tell in [status] * options.status + [stale] * options.stale))
        return 0
    if options.reproduce:
        from peft_cli.report.papers import reproduced

        print(*reproduced(options.reproduce), sep="\n")
        return 0
    found = find(options.folders)
    for reason in found.unreadable:
        print(f"peft-report: warning: left out: {reason}", file=sys.stderr)
    found = found._replace(runs=where(found.runs, options.where))
    if options.summary:
        from peft_cli.report.summary import write_summary  # not at the top: matplotlib

        write_summary(options.summary, found, options.metric, options.baseline, options.resamples)
    shown = content(found, options)
    for name in formats():
        path = getattr(options, name)
        if path:
            path.write_text(written(name, shown, found.runs), encoding="utf-8", newline="")
    if options.out:
        write_all(options.out, shown, found)
        shown = brief(found, options)
    print(written(options.format, shown, found.runs), end="", flush=True)
    return 0


def content(found: Found, options: Namespace) -> list[Section]:
    """The sections that are asked for."""
    if options.rows or options.columns:
        from peft_cli.report.pivot import pivot

        return list(pivot(found, options.rows, options.columns, options.metric))
    if options.paper:
        from peft_cli.report.papers import beside

        return list(beside(found.runs, options.paper))
    if options.full or options.out:
        from peft_cli.report.full import full

        return list(full(found, options.metric, options.baseline, options.resamples, not options.no_figures))
    return brief(found, options)


def brief(found: Found, options: Namespace) -> list[Section]:
    """The tables of all runs, and what has no row."""
    made = performance(tables(found.runs), options.metric)
    return [*made, *remarks(found.attempts, len(found.unreadable))]


def write_all(folder: Path, sections: Sequence[Section], found: Found) -> None:
    """Writes the report in every format, and its figures."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for section in sections:
        for figure in section.figures:
            (folder / "figures" / f"{figure.name}.pdf").write_bytes(figure.pdf)
            (folder / "figures" / f"{figure.name}.png").write_bytes(figure.png)
    for name in formats():
        path = folder / f"report{module(name).SUFFIX}"
        path.write_text(written(name, sections, found.runs), encoding="utf-8", newline="")
    print(f"peft-report: written to {folder}: report.* and figures/", file=sys.stderr)
