"""Loads a frozen backbone from this package, a folder or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

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
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.backbone.families import FAMILIES
from peft_cli.backbone.model import Backbone
from peft_cli.backbone.new_head import entailment_index
from peft_cli.backbone.tokenization import Form
from peft_cli.config.hub import from_pretrained
from peft_cli.run_folder.environment import choose_device
from peft_cli.run_folder.run_checkpoint import RunCheckpoint, read_run_checkpoint

EMBEDDED = Path(__file__).parent.parent / "embedded"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_backbone(
    name: str,
    labels: Sequence[str] = (),
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
    device: str = "auto",
    separator: str | None = None,
    max_source_tokens: PositiveInt = 512,
    max_target_tokens: PositiveInt = 128,
    is_number: bool = False,
    form: Literal["classes", "entailment", "mask"] | None = None,
    method_form: str = "classes",
    build_form: Callable[[str, PreTrainedTokenizerBase], Form] | None = None,
) -> Backbone:
    """The backbone `name`: one that ships with this package, a local folder, a model of the hub, or a run's folder.

    `labels` are the classes of the data set; `is_number` means that its targets are numbers. A family that cannot write
    text gets a new head for them, or is asked in words by `form`, or else by that of the method; `build_form` makes it.
    The weights are in `dtype`; what a method trains of them is in fp32. Raises ValueError where there is no such model,
    its family is unknown, or it cannot do the task.
    """
    logging.disable_progress_bar()
    run, device = read_run_checkpoint(name), choose_device(device)
    place = str(EMBEDDED / run.name) if (EMBEDDED / run.name / "config.json").exists() else run.name
    asked = form or method_form
    config = from_pretrained(AutoConfig, place, name)
    if run.labels:
        config.id2label = dict(enumerate(run.labels))
        config.label2id = {label: i for i, label in enumerate(run.labels)}
    check_family(config, name, dtype, bool(labels) or is_number, asked)
    options: dict[str, Any] = {"dtype": DTYPES[dtype], "use_safetensors": True}  # a pickle may run code
    if FAMILIES[config.model_type].attentions:
        options["attn_implementation"] = IMPLEMENTATION
    if not FAMILIES[config.model_type].generates:
        config.num_labels = n_outputs(config, asked, 1 if is_number else len(labels))
        # A head that the checkpoint has for another number of classes is replaced; the report about it is no news.
        options |= {"config": config, "ignore_mismatched_sizes": True}
        logging.set_verbosity_error()
    model: Any = fill(from_pretrained(model_class(config, asked), place, name, **options), run)
    tokenizer = from_pretrained(AutoTokenizer, place, name)
    if asked != "classes" and build_form is None:
        raise ValueError(f"backbone.form={asked} needs the words of a data set; pass what task_kwargs of it returns")
    built = build_form(asked, tokenizer) if asked != "classes" and build_form else None
    return Backbone(
        model.to(device), tokenizer, labels, separator, max_source_tokens, max_target_tokens, is_number,
        built, partial(read_words_head, run, place, name),
    )  # fmt: skip


@torch.no_grad()
def fill(model: PreTrainedModel, run: RunCheckpoint) -> PreTrainedModel:
    """`model` with the run's weights, but for those of a head that it lacks or has in another size."""
    for name, parameter in model.named_parameters():
        if name in run.tensors and run.tensors[name].shape == parameter.shape:
            parameter.copy_(run.tensors[name])
    return model


def n_outputs(config: PretrainedConfig, form: str, n_classes: int) -> int:
    """How many outputs a head has: one for each class, those of an NLI head, or the log-odds of entailment alone."""
    if form == "classes":
        return n_classes
    return config.num_labels or 1 if form == "mask" or entailment_index(config) is not None else 1


def read_words_head(run: RunCheckpoint, place: str, name: str) -> nn.Module:
    """The masked-language-model head of a checkpoint; raises ValueError where it has none."""
    model, info = from_pretrained(AutoModelForMaskedLM, place, name, output_loading_info=True, use_safetensors=True)
    head = FAMILIES[model.config.model_type].words_head
    if missing := [key for key in info["missing_keys"] if key.startswith(f"{head}.") and ".decoder." not in key]:
        raise ValueError(
            f"backbone.name={name} has no head that predicts words ({', '.join(sorted(missing))} is absent)"
        )
    return fill(model, run).get_submodule(str(head))


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
    if dtype == "fp16" and family.overflows_in_fp16:
        raise ValueError(f"backbone.dtype=fp16 overflows in {name}, as in every T5; take bf16 or fp32")


def model_class(config: PretrainedConfig, form: str) -> Any:
    """The class of transformers that has the head that the family works with."""
    family = FAMILIES[config.model_type]
    if form == "mask":
        return AutoModelForMaskedLM
    if not family.generates:
        return AutoModelForSequenceClassification
    return AutoModelForCausalLM if family.is_decoder_only else AutoModelForSeq2SeqLM
