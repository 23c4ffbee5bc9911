"""`peft-export`: a finished run as an adapter that Hugging Face peft loads (https://huggingface.co/docs/peft)."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from peft_cli.config.plugins import add_plugin_flags, use_plugins

if TYPE_CHECKING:  # torch is imported when a run is exported, so that --help stays quick
    from torch import Tensor

    from peft_cli.backbone import Backbone
    from peft_cli.method import Method

LOADS_HERE = (
    "load it from this package in two lines: from peft_cli.cli.export import load_run; method = load_run({path!r})"
)


def main() -> int:
    """Writes the adapter that the command line asks for; returns 0, or 2 where that cannot be."""
    parser = ArgumentParser(prog="peft-export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, help="folder of the adapter; <run>/hf_peft by default")
    add_plugin_flags(parser)
    options = parser.parse_args()
    try:
        use_plugins(options.plugin, options.config_dir)
        print(export(options.run, options.out or options.run / "hf_peft"))
    except (ValueError, OSError) as error:
        print(f"peft-export: {error}", file=sys.stderr)
        return 2
    return 0


def export(run: Path, out: Path) -> Path:
    """Writes adapter_config.json and adapter_model.safetensors of a run's method into `out`.

    Raises ValueError where the run is not finished, or HF peft has no such method.
    """
    from safetensors.torch import save_file

    method, backbone = load_run(run), read_config(run)["backbone"]["name"]
    exported = method.export()
    if exported is None:
        family = method.backbone.config.model_type
        reason = f"HF peft has no such method as {type(method).__name__} with these settings on {family}"
        raise ValueError(f"{reason}; {LOADS_HERE.format(path=str(run))}")
    settings, tensors = with_head(method, *exported)
    out.mkdir(parents=True, exist_ok=True)
    base = {"base_model_name_or_path": backbone, "inference_mode": True}
    (out / "adapter_config.json").write_text(json.dumps(base | settings, indent=2))
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        out / "adapter_model.safetensors",
    )
    return out


def with_head(method: Method, settings: dict, tensors: dict[str, Tensor]) -> tuple[dict, dict[str, Tensor]]:
    """Settings and tensors of an adapter, and in them the classification head that was trained with it."""
    head = method.backbone.head()
    if not head:
        return settings, tensors
    modules = sorted({name.split(".")[0] for name, _ in head})
    return settings | {"modules_to_save": modules}, tensors | {f"base_model.model.{name}": p for name, p in head}


def load_run(run: Path | str, shared: Backbone | None = None, device: str | None = None) -> Method:
    """The method of a finished run as it was stored, on its backbone, `method.backbone`, or on the weights of `shared`.

    `device` is in place of the run's own. Raises ValueError where the run is not finished, or where the method would
    change a backbone that it is not alone on.
    """
    from safetensors.torch import load_file

    config = read_config(Path(run))
    config["backbone"]["device"] = device or config["backbone"]["device"]
    method = build(config, shared)
    if shared and not method.shares_batches:
        raise ValueError(
            f"{run} is of {type(method).__name__}, which changes weights of the backbone; predict with it apart"
        )
    method.fold()
    method.load_state_dict(load_file(Path(run) / "method.safetensors"))
    return method.eval()


def read_config(run: Path) -> dict:
    """The configuration of a finished run."""
    if not (run / "result.json").is_file():
        raise ValueError(f"{run} is no folder of a finished run")
    return yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))


def build(config: Mapping, shared: Backbone | None = None) -> Method:
    """The method of a run's configuration, on its backbone, with tensors that are not yet the run's."""
    from peft_cli.config.targets import resolve
    from peft_cli.forms import task_kwargs
    from peft_cli.method import Method

    sections = {name: dict(config[name]) for name in ("backbone", "method", "data")}
    targets: dict[str, Any] = {name: resolve(section.pop("_target_"), name) for name, section in sections.items()}
    data = targets["data"](**sections["data"])
    given = sections["backbone"] | task_kwargs(data, targets["method"].form)
    backbone = share(shared, given) if shared else targets["backbone"](**given)
    return Method(backbone, lr=1.0) if config.get("shots") == 0 else targets["method"](backbone, **sections["method"])


def share(backbone: Backbone, given: Mapping) -> Backbone:
    """Another backbone of the same weights, which encodes examples by its own configuration and task."""
    from peft_cli.backbone.tokenization import Encoder
    from peft_cli.serving.shared_rows import share_weights

    form = given.get("form") or given["method_form"]
    built = None if form == "classes" else given["build_form"](form, backbone.tokenizer)
    keys = ("separator", "max_source_tokens", "max_target_tokens", "labels", "is_number")
    return share_weights(
        backbone, Encoder(backbone.tokenizer, backbone.family, **{key: given[key] for key in keys}, form=built)
    )
