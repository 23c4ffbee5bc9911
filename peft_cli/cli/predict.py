"""`peft-predict`: answers examples of one or several tasks, each by a finished run's method, on one frozen backbone."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml

from peft_cli.config.plugins import add_plugin_flags, use_plugins
from peft_cli.config.values import check
from peft_cli.run_folder.failure import sentence

if TYPE_CHECKING:  # torch is imported when there is something to answer, so that --help stays quick
    from peft_cli.data import Example
    from peft_cli.evaluate import Decoding
    from peft_cli.method import Method

EPILOG = """each line of the input is JSON with a source, and with several runs the task that it is of:
  {"task": "e2e", "source": "name : The Vaults | food : French"}
  {"task": "sst2", "source": "a gorgeous, witty, seductive movie"}
each line of the output is that of the input with its prediction, in the same order"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the predictions that the command line asks for; returns 0, or 2 where that cannot be."""
    try:
        options = parse(arguments)
        use_plugins(options.plugin, options.config_dir)
        runs = by_task(options.runs)
        lines = read_lines(options.input, list(runs))
        texts = answer(runs, lines, options)
        with options.out.open("w", encoding="utf-8") if options.out else nullcontext(sys.stdout) as out:
            for line, text in zip(lines, texts, strict=True):
                print(json.dumps(line | {"prediction": text}, ensure_ascii=False), file=out)
        return 0
    except (ValueError, OSError) as error:
        print(f"peft-predict: {sentence(error)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The command line's runs, files and choices."""

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}; peft-predict --help shows what there is")

    about = "Answers examples by the methods of finished runs; those of all tasks share batches on one frozen backbone."
    parser = ArgumentParser("peft-predict", None, about, EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.error = refuse  # type: ignore[method-assign]  # argparse would print its own usage
    parser.add_argument(
        "runs", nargs="+", metavar="[TASK=]RUN", help="folder of a finished run; its task is its data set by default"
    )
    parser.add_argument("--input", type=Path, metavar="FILE", help="a .jsonl file; standard input by default")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .jsonl file; standard output by default")
    parser.add_argument("--device", help="cpu, cuda or auto in place of the runs' own")
    parser.add_argument(
        "--decode",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how to decode in place of what the runs did, as in batch_size=64 or max_new_tokens=30; several times",
    )
    add_plugin_flags(parser)
    return parser.parse_args(arguments)


def by_task(named: Sequence[str]) -> dict[str, Path]:
    """The folder of each task's run. Raises ValueError for no finished run, and for two of one task."""
    runs: dict[str, Path] = {}
    for text in named:
        name, equals, path = text.partition("=")
        has_name = bool(equals) and "/" not in name and not Path(text).exists()
        folder = Path(path if has_name else text)
        task = name if has_name else read_result(folder)["run"]["data"]
        if task in runs:
            both = f"{runs[task]} and {folder}"
            raise ValueError(f"{both} both answer {task}; name their tasks, as in one={runs[task]} two={folder}")
        runs[task] = folder
    return runs


def read_result(folder: Path) -> dict:
    """The result of a finished run."""
    path = folder / "result.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no folder of a finished run; it has no result.json")
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: Path | None, tasks: Sequence[str]) -> list[dict]:
    """The objects of the input, each with a source and its task. Raises ValueError for a line that is none."""
    lines = []
    with path.open(encoding="utf-8") if path else nullcontext(sys.stdin) as file:
        for number, text in enumerate(file, 1):
            if text.strip():
                lines.append(read_line(text, f"{path or 'the input'}, line {number}", tasks))
    return lines


def read_line(text: str, place: str, tasks: Sequence[str]) -> dict:
    """One object of the input; its task is the only one where there is one."""
    try:
        line = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is no JSON ({error})") from error
    if not isinstance(line, dict) or not isinstance(line.get("source"), str):
        raise ValueError(f'{place} has no source; write it as {{"task": "{tasks[0]}", "source": "..."}}')
    if "task" not in line and len(tasks) > 1:
        raise ValueError(f"{place} has no task; it has to be one of {', '.join(tasks)}")
    if line.get("task", tasks[0]) not in tasks:
        raise ValueError(f"{place} is of the task {line['task']!r}, and the runs answer {', '.join(tasks)}")
    return line


def answer(runs: Mapping[str, Path], lines: Sequence[dict], options: Namespace) -> list[str]:
    """The prediction for each line of the input."""
    from peft_cli.serving.multi_task import predict_many

    decoding = decoding_of(runs, options.decode)
    methods = restore_together(runs, options.device)
    first, *_ = methods.values()
    only = next(iter(runs))
    asked = [(line.get("task", only), line["source"]) for line in lines]
    examples = [(task, example(i, source, methods[task])) for i, (task, source) in enumerate(asked)]
    return predict_many(first.backbone, methods, examples, decoding).texts


def example(i: int, source: str, method: Method) -> Example:
    """An example without a reference; its place is taken by what the backbone can read as one, and never looks at."""
    from peft_cli.data import Example

    encoder = method.backbone.encoder
    return Example(str(i), source, (encoder.labels[0] if encoder.labels else "0" if encoder.is_number else "",))


def restore_together(runs: Mapping[str, Path], device: str | None = None) -> dict[str, Method]:
    """The method of each task's run as it was stored, all on one backbone.

    Raises ValueError where the runs had different backbones, or a method changes the backbone for the others.
    """
    from peft_cli.cli.export import load_run

    check_backbones(runs)
    methods: dict[str, Method] = {}
    for task, run in runs.items():
        first = next(iter(methods.values()), None)
        methods[task] = load_run(run, first.backbone if first else None, device)
    base, run = next(iter(methods.values())), next(iter(runs.values()))
    if base.shares_batches and base.backbone.fingerprint() != read_result(run)["backbone"]["sha256"]:
        raise ValueError(f"the weights of {base.backbone.config.name_or_path} are not those that {run} was trained on")
    return methods


def check_backbones(runs: Mapping[str, Path]) -> None:
    """Raises ValueError unless all runs had the same backbone, with the same weights in the same numbers."""
    first, *others = [(run, read_result(run)) for run in runs.values()]
    for run, result in others:
        both = [(r["config"]["backbone"], r["backbone"]["sha256"]) for r in (first[1], result)]
        told = [f"{config['name']} in {config['dtype']} ({sha256[:8]})" for config, sha256 in both]
        if told[0] != told[1] and (both[0][1] != both[1][1] or both[0][0]["dtype"] != both[1][0]["dtype"]):
            raise ValueError(f"{first[0]} is a run on {told[0]} and {run} on {told[1]}; one pass has one backbone")


def decoding_of(runs: Mapping[str, Path], changes: Iterable[str]) -> Decoding:
    """How the runs decoded, with `changes`. Raises ValueError where they differ in what nobody changed."""
    from peft_cli.evaluate import Decoding

    changed = {}
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--decode {text} has no value; write it as --decode {text}=<value>")
        changed[key] = yaml.safe_load(value)
    check(changed, Decoding, "decode")
    used = {run: read_result(run)["config"]["decode"] for run in runs.values()}
    (first, settings), *others = used.items()
    for run, own in others:
        for key in settings.keys() - changed.keys() - {"batch_size"}:
            if own[key] != settings[key]:
                raise ValueError(
                    f"{first} decoded with {key}={settings[key]} and {run} with {key}={own[key]}; "
                    f"say which to take, as in --decode {key}={settings[key]}"
                )
    return Decoding(**settings | changed)


if __name__ == "__main__":
    sys.exit(main())
