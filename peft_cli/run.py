"""One experiment, from its configuration to its result. The only file that sees the whole configuration."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt

from peft_cli.config.plugins import use_plugins
from peft_cli.config.targets import build, resolve
from peft_cli.config.values import check
from peft_cli.run_folder.identity import complete, describe_data, read_data, run_names
from peft_cli.run_folder.lock import locked
from peft_cli.run_folder.result import RunFolder, folder_of

if TYPE_CHECKING:  # what a run needs is imported when it runs, so that a finished sweep is told quickly
    from peft_cli.backbone import Backbone
    from peft_cli.cost import Meter
    from peft_cli.data import Data, Example
    from peft_cli.evaluate import Decoding, Prediction
    from peft_cli.method import Method
    from peft_cli.run_folder.checkpoint import Checkpoint
    from peft_cli.run_folder.partial_predictions import PartialPredictions
    from peft_cli.run_folder.signals import Signals
    from peft_cli.run_folder.tracker import Tracker

DRAWING = ("shots", "data_seed", "test_limit", "draw", "validation")  # keys that decide which examples a run draws


def run(*overrides: str) -> dict[str, Any]:
    """Runs one experiment, as `peft-run` with these overrides does, and returns its result.

    Raises ValueError for what cannot be run, in one sentence. A finished run is not run again.
    """
    from peft_cli.config.compose import compose

    composed = compose(list(overrides))
    experiment(composed.config, composed.choices, composed.overrides)
    return folder_of(complete(composed.config), composed.choices).result()


def experiment(config: dict[str, Any], choices: dict[str, str], overrides: list[str]) -> None:
    """Runs what `config` asks for, unless its result is there already; goes on where a killed run was."""
    from peft_cli.run_folder.summary import summary

    use_plugins(config["plugins"], config["config_dirs"])
    config = complete(config)
    folder = folder_of(config, choices)
    if folder.is_finished:
        folder.remove_leftovers()
        print(f"finished already: {folder.path} (delete that folder to run it again)")
        return
    check_all(config)
    with locked(folder.path):
        if folder.is_finished:  # another process did it just now
            return
        try:
            result = carry_out(config, choices, folder)
        except (Exception, SystemExit) as error:
            folder.fail(error, overrides)
            raise
    print(summary(result, folder.path))


def carry_out(config: dict[str, Any], choices: dict[str, str], folder: RunFolder) -> dict[str, Any]:
    """The straight line: data, backbone, method, training, predictions, result."""
    from peft_cli.cost import Meter
    from peft_cli.evaluate import Decoding, score_all
    from peft_cli.run_folder.checkpoint import Checkpoint
    from peft_cli.run_folder.environment import environment
    from peft_cli.run_folder.signals import Signals
    from peft_cli.run_folder.tracker import Tracker

    start = time.perf_counter()
    data, backbone, fingerprint, method, sources = prepare(config)
    meter, signals = Meter(backbone, method), Signals()
    described, decoding = describe_data(data), Decoding(**config["decode"])
    decoding.options(backbone.encoder)  # raises ValueError for a text that it cannot ban
    made_of = {"backbone": fingerprint, "init_from": str(sources), **described["sha256"]}
    checkpoint = Checkpoint(folder.path, config["train"]["checkpoint_seconds"], signals, made_of, meter=meter)
    folder.open(config, goes_on=checkpoint.step > 0)
    tracker = Tracker(folder.path, config, **config["wandb"])
    with signals.listening():
        training = fit(config, backbone, method, data, decoding, meter, folder, tracker, checkpoint)
        method.fold()
        bytes_stored = folder.write_tensors(method.state_dict())
        prediction = answer(backbone, method, data.test, decoding, folder.partial_predictions(made_of), signals)
    scores = score_all(data, data.test, prediction.texts, config["protocol"], config["more_metrics"])
    folder.write_predictions(data.test, prediction.texts, scores.examples)
    costs = meter.read(prediction.seconds / len(data.test), bytes_stored)
    result = {
        "run": run_names(config, choices),
        "scores": scores.values,
        "signatures": scores.signatures,
        "undefined": scores.reasons,
        "scored": scores.items,
        "cost": costs | {"total_seconds": meter.seconds_before + time.perf_counter() - start},
        "training": training,
        "sources": sources,
        "data": described,
        "backbone": {"sha256": fingerprint, **cut_texts(backbone, data)},
        "environment": environment(backbone.model.device),
        "config": config,
    }
    folder.finish(result)
    tracker.finish(result)
    return result


def prepare(config: dict[str, Any]) -> tuple[Data, Backbone, str, Method, list[dict]]:
    """The drawn examples, the frozen backbone, the hash of its weights, the method on it, and its sources."""
    from peft_cli.forms import task_kwargs
    from peft_cli.method import Method
    from peft_cli.metrics import check_request
    from peft_cli.run_folder.init_from import start_from

    data = draw(config)
    check_request(config["protocol"] or data.protocol, list(data.metrics))
    set_seed(config["seed"])  # a classification head starts from noise
    kind: Any = resolve(config["method"]["_target_"], "method") if config["shots"] != 0 else Method
    backbone = build(config["backbone"], "backbone", **task_kwargs(data, kind.form))
    fingerprint = backbone.fingerprint()
    set_seed(config["seed"])  # the same for every backbone, whatever loading it drew
    method = build(config["method"], "method", backbone=backbone) if config["shots"] != 0 else Method(backbone, lr=1.0)
    sources = start_from(method, config["init_from"], config["init_tensors"])
    backbone.check_lengths([*data.train, *data.validation, *data.test], config["decode"]["max_new_tokens"])
    return data, backbone, fingerprint, method, sources


def fit(
    config: dict[str, Any], backbone: Backbone, method: Method, data: Data, decoding: Decoding, meter: Meter,
    folder: RunFolder, tracker: Tracker, checkpoint: Checkpoint,
) -> dict[str, Any] | None:  # fmt: skip
    """Trains, with the log written, mirrored, timed and shown; returns what `train` does, None without shots."""
    from peft_cli.evaluate import predict, score_all
    from peft_cli.recipe import Recipe
    from peft_cli.run_folder.progress import progress
    from peft_cli.train import train

    if config["shots"] == 0:
        return None
    recipe = Recipe(**config["train"])

    def metric(examples: Sequence[Example]) -> float:
        texts = predict(backbone, method, examples, decoding).texts
        first = replace(data, metrics=data.metrics[:1])
        return score_all(first, examples, texts, config["protocol"]).selection_value

    with progress("train", recipe.steps, checkpoint.step) as done:

        def log(row: dict[str, Any]) -> None:
            folder.log(row)
            tracker.log(row)
            if "loss" in row:
                meter.step_seconds.append(row["step_seconds"])
                done(1, f"loss {row['loss']:.3f}  {1000 * row['step_seconds']:.0f} ms a step")

        meter.measure_step(data.train, recipe)
        return train(backbone, method, data.train, data.validation, recipe, metric, log, checkpoint)


def answer(
    backbone: Backbone, method: Method, examples: Sequence[Example], decoding: Decoding, partial: PartialPredictions,
    signals: Signals,
) -> Prediction:  # fmt: skip
    """Predicts, with each batch written down when it is there; what was predicted at an earlier time is kept."""
    from peft_cli.evaluate import predict
    from peft_cli.run_folder.progress import progress

    with progress("predict", len(examples), len(partial.texts)) as shown:

        def done(texts: dict[int, str], seconds: float) -> None:
            partial.add(texts, seconds)
            shown(len(texts))
            signals.check()

        return predict(backbone, method, examples, decoding, done, partial.texts, partial.seconds)


def cut_texts(backbone: Backbone, data: Data) -> dict[str, int]:
    """How many sources of each split lost their end, since they are longer than the backbone reads, and targets too."""
    rows = {split: backbone.encode(getattr(data, split)) for split in ("train", "validation", "test")}
    counts = {f"cut_{split}_sources": sum(row.is_cut for row in part) for split, part in rows.items()}
    return counts | {"cut_train_targets": sum(row.is_target_cut for row in rows["train"])}


def set_seed(seed: NonNegativeInt) -> None:
    """Fixes initialisation and order of training. Drawing examples has a generator of its own."""
    import torch

    torch.manual_seed(seed)


def draw(config: dict[str, Any]) -> Data:
    """The examples of a run."""
    from peft_cli.data import few_shot

    return few_shot(read_data(json.dumps(config["data"])), **{key: config[key] for key in DRAWING})


def check_all(config: dict[str, Any]) -> None:
    """Raises ValueError for the first value that cannot be, before anything is loaded."""
    from peft_cli.data import few_shot
    from peft_cli.evaluate import Decoding
    from peft_cli.metrics import check_request
    from peft_cli.recipe import Recipe
    from peft_cli.run_folder.init_from import start_from
    from peft_cli.run_folder.tracker import Tracker

    check({key: config[key] for key in DRAWING}, few_shot, "")
    check({"seed": config["seed"]}, set_seed, "")
    check({key: config[key] for key in ("protocol", "more_metrics")}, check_request, "")
    check_request(config["protocol"], config["more_metrics"])
    check({key: config[key] for key in ("init_from", "init_tensors")}, start_from, "")
    for name, target in {"train": Recipe, "decode": Decoding, "wandb": Tracker}.items():
        check(config[name], target, name)
    Decoding(**config["decode"])
    for name in ("data", "backbone", "method"):
        check(config[name], resolve(config[name]["_target_"], name), name)


def refuse_impossible(config: dict[str, Any]) -> None:
    """Raises ValueError for what can be seen to be impossible without the backbone: a value, too few examples."""
    check_all(config)
    draw(config)
