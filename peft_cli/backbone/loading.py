"""Loads a frozen backbone from this package, a folder or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from peft_cli.backbone.families import FAMILIES
from peft_cli.backbone.hooks import IMPLEMENTATION
from peft_cli.backbone.model import Backbone
from peft_cli.backbone.run_checkpoint import Tuned, tuned
from peft_cli.backbone.templates import Hypotheses, entailing
from peft_cli.config import hub
from peft_cli.data import Hypothesis

EMBEDDED = Path(__file__).parent.parent / "embedded"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load(
    labels: Sequence[str],
    name: str,
    dtype: Literal["fp32", "bf16", "fp16"],
    device: str,
    separator: str | None,
    max_source_tokens: PositiveInt,
    max_target_tokens: PositiveInt,
    is_number: bool = False,
    hypothesis: Hypothesis | None = None,
    form: Literal["classes", "entailment", "mask"] | None = None,
    method_form: str = "classes",
) -> Backbone:
    """The backbone `name`: one that ships with this package, a local folder, a model of the hub, or a run's folder.

    `labels` are the classes of the data set; `is_number` says that its targets are numbers. A family that cannot write
    text gets a new head for them, or is asked by `form`, or else as the method wants it, with the words of
    `hypothesis`: for entailment, which the model's own head tells where it knows that class, or for a word at a mask.
    Raises ValueError where there is no such model, its family is unknown, or it cannot do what the data set asks.
    """
    logging.disable_progress_bar()
    run = tuned(name)
    place = str(EMBEDDED / run.name) if (EMBEDDED / run.name / "config.json").exists() else run.name
    device, form = choose_device(device), form or method_form
    config = run.configured(read(AutoConfig, place, name))
    check_family(config, name, dtype, bool(labels) or is_number, form)
    options = {"attn_implementation": IMPLEMENTATION, "dtype": DTYPES[dtype]}
    if not FAMILIES[config.model_type].generates:
        config.num_labels = n_outputs(config, form, 1 if is_number else len(labels))
        # A head that the checkpoint has for another number of classes is replaced; the report about it is no news.
        options |= {"config": config, "ignore_mismatched_sizes": True}
        logging.set_verbosity_error()
    model = run.fill(read(model_class(config, form), place, name, **options))
    tokenizer = read(AutoTokenizer, place, name)
    asked = None if form == "classes" else Hypotheses(form, hypothesis, tokenizer)
    return Backbone(
        model.to(device), tokenizer, labels, separator, max_source_tokens, max_target_tokens, is_number, asked,
        partial(words_head, run, place, name),
    )  # fmt: skip


def n_outputs(config: PretrainedConfig, form: str, n_classes: int) -> int:
    """How many numbers a head gives: one for each class, those of an NLI head, or the log-odds of entailment alone."""
    if form == "classes":
        return n_classes
    return config.num_labels if form == "mask" or entailing(config) is not None else 1


def words_head(run: Tuned, place: str, name: str) -> nn.Module:
    """The head of a checkpoint that predicts a word at each place; raises ValueError where it has none."""
    model, told = read(AutoModelForMaskedLM, place, name, output_loading_info=True)
    head = FAMILIES[model.config.model_type].words_head
    if missing := [key for key in told["missing_keys"] if key.startswith(f"{head}.") and ".decoder." not in key]:
        raise ValueError(
            f"backbone.name={name} has no head that predicts words ({', '.join(sorted(missing))} is absent)"
        )
    return getattr(run.fill(model), head)


def read(kind: type, place: str, name: str, **options: object) -> object:
    """`kind.from_pretrained`, with one sentence where nothing is found."""
    try:
        return kind.from_pretrained(place, local_files_only=Path(place).is_dir() or not hub.answers(), **options)
    except (OSError, ValueError) as error:
        if Path(place).is_dir():
            raise ValueError(
                f"backbone.name={name}: the folder holds no model that can be loaded ({first(error)})"
            ) from error
        raise ValueError(
            f"backbone.name={name} is no local folder and could not be had from the Hugging Face hub ({first(error)}); "
            "give the folder of a saved model, or one of the tiny-* backbones, which ship with this package"
        ) from error


def first(error: Exception) -> str:
    """The first line of an error's message, without its full stop."""
    return str(error).strip().split("\n")[0].rstrip(". ")


def check_family(config: PretrainedConfig, name: str, dtype: str, has_classes: bool, form: str) -> None:
    """Raises ValueError where this package cannot use the model, or not for a data set without classes or numbers."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise ValueError(f"backbone.name={name} is of the family {config.model_type!r}; the families are {known}")
    if not family.generates and not has_classes:
        raise ValueError(
            f"{name} cannot write text, and the data set has no classes; take a GPT-2, BART or T5 backbone"
        )
    if family.generates and form != "classes":
        raise ValueError(f"{name} writes text, and the form {form} asks an encoder such as RoBERTa for a class")
    if dtype == "fp16" and config.model_type == "t5":
        raise ValueError(f"backbone.dtype=fp16 overflows in {name}, as in every T5; take bf16 or fp32")


def model_class(config: PretrainedConfig, form: str) -> type[PreTrainedModel]:
    """The class of transformers that has the head that the family works with."""
    family = FAMILIES[config.model_type]
    if form == "mask":
        return AutoModelForMaskedLM
    if not family.generates:
        return AutoModelForSequenceClassification
    return AutoModelForCausalLM if family.is_decoder_only else AutoModelForSeq2SeqLM


def choose_device(device: str) -> str:
    """`device`, or with "auto" the first GPU where there is one and the CPU where there is none."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"backbone.device={device} asks for a GPU and torch finds none here; take cpu or auto")
    return device
