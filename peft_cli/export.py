"""`peft-export`: a finished run as an adapter that Hugging Face peft loads (https://huggingface.co/docs/peft)."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

import yaml

LOADS_HERE = (
    "load it with this package instead: method = ...; method.fold(); "
    "method.load_state_dict(safetensors.torch.load_file('{path}/method.safetensors'))"
)


def main() -> int:
    """Writes the adapter that the command line asks for; returns 0, or 2 where that cannot be."""
    parser = ArgumentParser(prog="peft-export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, help="folder of the adapter; <run>/hf_peft by default")
    options = parser.parse_args()
    try:
        print(export(options.run, options.out or options.run / "hf_peft"))
    except (ValueError, OSError) as error:
        print(f"peft-export: {error}", file=sys.stderr)
        return 2
    return 0


def export(run: Path, out: Path) -> Path:
    """Writes adapter_config.json and adapter_model.safetensors of a run's method into `out`.

    Raises ValueError where the run is not finished, or HF peft has no such method.
    """
    from safetensors.torch import load_file, save_file

    if not (run / "result.json").is_file():
        raise ValueError(f"{run} is no folder of a finished run")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    method = build(config)
    method.fold()
    method.load_state_dict(load_file(run / "method.safetensors"))
    exported = method.export()
    if exported is None:
        raise ValueError(f"HF peft has no such method as {type(method).__name__}; {LOADS_HERE.format(path=run)}")
    settings, tensors = exported
    out.mkdir(parents=True, exist_ok=True)
    base = {"base_model_name_or_path": config["backbone"]["name"], "inference_mode": True}
    (out / "adapter_config.json").write_text(json.dumps(base | settings, indent=2))
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        out / "adapter_model.safetensors",
    )
    return out


def build(config: Mapping):
    """The method of a run's configuration, on its backbone, with tensors that are not yet the run's."""
    from peft_cli.check import resolve

    sections = {name: dict(config[name]) for name in ("backbone", "method", "data")}
    targets = {name: resolve(section.pop("_target_")) for name, section in sections.items()}
    data = targets["data"](**sections["data"])
    backbone = targets["backbone"](labels=data.labels, is_number=data.scale is not None, **sections["backbone"])
    return targets["method"](backbone, **sections["method"])
