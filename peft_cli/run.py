"""`peft-run`: one experiment, from its configuration to its result. The only file that sees cfg."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import NonNegativeInt

from peft_cli.check import check, resolve
from peft_cli.command import command, repeat
from peft_cli.results import UNTOUCHED, RunFolder, folder_of

if TYPE_CHECKING:  # what a run needs is imported when it runs, so that help and completion stay quick
    import torch

    from peft_cli.backbone import Backbone
    from peft_cli.cost import Meter
    from peft_cli.data import Data, Example
    from peft_cli.evaluate import Decoding
    from peft_cli.method import Method
    from peft_cli.tracker import Tracker

DRAWING = ("shots", "data_seed", "test_limit", "draw", "validation")  # keys that decide which examples a run draws


def experiment(cfg: DictConfig, choices: dict[str, str]) -> None:
    """Runs what `cfg` asks for, unless its result is there already."""
    config = with_sources(OmegaConf.to_container(cfg, resolve=True))
    folder = folder_of(config, choices)
    if folder.is_finished:
        print(f"finished already: {folder.path} (delete that folder to run it again)")
        return
    check_all(config)
    try:
        result = run(config, choices, folder)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        folder.fail(error, repeat(HydraConfig.get().overrides.task))
        raise
    print(summary(result, folder))


def run(config: dict, choices: dict[str, str], folder: RunFolder) -> dict:
    """The straight line: data, backbone, method, training, predictions, result."""
    from peft_cli.cost import Meter
    from peft_cli.data import few_shot
    from peft_cli.evaluate import Decoding, predict, score_all
    from peft_cli.method import Method
    from peft_cli.metrics import check_request
    from peft_cli.progress import progress
    from peft_cli.tracker import Tracker
    from peft_cli.transfer import start_from

    start = time.perf_counter()
    data = few_shot(build(config["data"]), **{key: config[key] for key in DRAWING})
    check_request(config["protocol"] or data.protocol, data.metrics)
    set_seed(config["seed"])  # a classification head starts from noise
    backbone = build(config["backbone"], labels=data.labels, is_number=data.scale is not None)
    fingerprint = backbone.fingerprint()
    set_seed(config["seed"])  # the same for every backbone, whatever loading it drew
    method = build(config["method"], backbone=backbone) if config["shots"] != 0 else Method(backbone, lr=1.0)
    sources = start_from(method, config["init_from"], config["init_tensors"])
    backbone.check([*data.train, *data.validation, *data.test])
    folder.open(config)
    tracker = Tracker(folder.path, config, **config["wandb"])
    decoding = Decoding(**config["decode"])
    meter = Meter(backbone, method)
    training = fit(config, backbone, method, data, decoding, meter, folder, tracker) if config["shots"] != 0 else None
    method.fold()
    with progress("predict", len(data.test)) as done:
        prediction = predict(backbone, method, data.test, decoding, done)
    scores = score_all(data, data.test, prediction.texts, config["protocol"], config["more_metrics"])
    folder.write_predictions(data.test, prediction.texts, scores.examples)
    costs = meter.read(prediction.seconds / len(data.test), bytes_stored=folder.write_tensors(method.state_dict()))
    result = {
        "run": identity(config, choices),
        "scores": scores.values,
        "signatures": scores.signatures,
        "undefined": scores.reasons,
        "scored": scores.items,
        "cost": costs | {"total_seconds": time.perf_counter() - start},
        "training": training,
        "sources": sources,
        "data": describe(data),
        "backbone": {"sha256": fingerprint, **cut_texts(backbone, data)},
        "environment": environment(backbone.model.device),
        "config": config,
    }
    folder.finish(result)
    tracker.finish(result)
    return result


def fit(
    config: dict, backbone: Backbone, method: Method, data: Data, decoding: Decoding, meter: Meter, folder: RunFolder,
    tracker: Tracker,
) -> dict:  # fmt: skip
    """Trains, with the log written, mirrored, timed and shown; returns what `train` tells of it."""
    from peft_cli.evaluate import predict, score_all
    from peft_cli.progress import progress
    from peft_cli.train import Recipe, train

    recipe = Recipe(**config["train"])

    def metric(examples: Sequence[Example]) -> float:
        texts = predict(backbone, method, examples, decoding).texts
        first = replace(data, metrics=data.metrics[:1])
        return score_all(first, examples, texts, config["protocol"]).selects

    with progress("train", recipe.steps) as done:

        def log(row: dict) -> None:
            folder.log(row)
            tracker.log(row)
            if "loss" in row:
                meter.step_seconds.append(row["step_seconds"])
                done(1, f"loss {row['loss']:.3f}  {1000 * row['step_seconds']:.0f} ms a step")

        meter.measure_step(data.train, recipe)
        return train(backbone, method, data.train, data.validation, recipe, metric, log)


def identity(config: dict, choices: dict[str, str]) -> dict:
    """What a table calls the run by."""
    names = choices | ({"method": UNTOUCHED} if config["shots"] == 0 else {})
    return names | {key: config[key] for key in ("shots", "seed", "data_seed", "test_limit")}


def describe(data: Data) -> dict:
    """Which examples were drawn, and what was in them."""
    from peft_cli.data import fingerprint

    return {
        "train_ids": [example.id for example in data.train],
        "validation_ids": [example.id for example in data.validation],
        "n_test": len(data.test),
        **data.notes,
        "sha256": {split: fingerprint(getattr(data, split)) for split in ("train", "validation", "test")},
    }


def cut_texts(backbone: Backbone, data: Data) -> dict[str, int]:
    """How many sources of each split lost their end, since they are longer than the backbone reads, and targets too."""
    rows = {split: backbone.encode(getattr(data, split)) for split in ("train", "validation", "test")}
    counts = {f"cut_{split}_sources": sum(row.is_cut for row in part) for split, part in rows.items()}
    return counts | {"cut_train_targets": sum(row.is_target_cut for row in rows["train"])}


def environment(device: torch.device) -> dict:
    """Versions, the source's commit, and the machine, without its name."""
    import torch

    folder = Path(__file__).parent
    git = subprocess.run(["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    packages = ("peft-cli", "torch", "transformers", "sacrebleu", "rouge-score", "hydra-core")
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "commit": git.stdout.strip() or None,
        "device": name,
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def summary(result: dict, folder: RunFolder) -> str:
    """What a user wants to know first, in a few lines."""
    cost = result["cost"]
    step = cost["step_seconds"]["median"]
    scores = "  ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in result["scores"].items())
    undefined = "".join(f"{name} has no value: {reason}\n" for name, reason in result["undefined"].items())
    trained = (
        f"trained {cost['params_trained']:,} of {cost['params_backbone']:,} weights, stores {cost['params_stored']:,}"
    )
    skipped = result["data"].get("skipped_lines")
    left_out = f"{skipped:,} bad lines of the data were left out\n" if skipped else ""
    timing = f"{1000 * step:.0f} ms a step" if step else "no training"
    return (
        f"{scores}  ({result['data']['n_test']} test examples)\n{undefined}{left_out}{trained}\n"
        f"{timing}, peak memory {cost['peak_memory_bytes'] / 2**20:,.0f} MiB, {cost['total_seconds']:.1f} s in all\n"
        f"{folder.path}"
    )


def set_seed(seed: NonNegativeInt) -> None:
    """Fixes initialisation and order of training. Drawing examples has a generator of its own."""
    import torch

    torch.manual_seed(seed)


def with_sources(config: dict) -> dict:
    """`config` with the run folders that a pattern in init_from stands for: which they are is part of what a run is."""
    if config["init_from"] is None:
        return config  # what follows imports torch
    from peft_cli.transfer import found

    check({"init_from": config["init_from"]}, found, "")
    return config | {"init_from": found(config["init_from"])}


def build(section: dict, **given: Any) -> Any:
    """What the `_target_` of a section of the configuration makes of the section's keys and of what is `given`."""
    arguments = {key: value for key, value in section.items() if key != "_target_"}
    return resolve(section["_target_"])(**given, **arguments)


def check_all(config: dict) -> None:
    """Raises ValueError for the first value that cannot be, before anything is loaded."""
    from peft_cli.data import few_shot
    from peft_cli.evaluate import Decoding
    from peft_cli.metrics import check_request
    from peft_cli.tracker import Tracker
    from peft_cli.train import Recipe
    from peft_cli.transfer import start_from

    check({key: config[key] for key in DRAWING}, few_shot, "")
    check({"seed": config["seed"]}, set_seed, "")
    check({key: config[key] for key in ("protocol", "more_metrics")}, check_request, "")
    check_request(config["protocol"], config["more_metrics"])
    check({key: config[key] for key in ("init_from", "init_tensors")}, start_from, "")
    for name, target in {"train": Recipe, "decode": Decoding, "wandb": Tracker}.items():
        check(config[name], target, name)
    for name in ("data", "backbone", "method"):
        check(config[name], resolve(config[name]["_target_"]), name)


main = command(experiment)

if __name__ == "__main__":
    main()
