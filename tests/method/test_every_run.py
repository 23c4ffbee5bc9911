"""Every method through peft-run, on small random BART and T5 models."""

import json
import sys
from pathlib import Path

import pytest

from peft_cli.cli.run import main
from tests.conftest import make_backbone

METHODS = {path.stem for path in (Path(__file__).parents[2] / "conf" / "method").glob("*.yaml")}
QUICK = ["train.steps=2", "train.validate_every=null", "train.batch_size=2", "test_limit=2", "decode.max_new_tokens=3"]
SIZES = ["backbone.max_source_tokens=24", "backbone.max_target_tokens=12", "shots=4"]


ASK_ENCODERS = {"entailment", "dart", "lm_bff"}


@pytest.mark.parametrize(
    ("family", "refused"), [("bart", {"infix"} | ASK_ENCODERS), ("t5", {"infix", "bitfit"} | ASK_ENCODERS)]
)
def test_every_method_runs_through(monkeypatch, tmp_path, capsys, family, refused):
    backbone = make_backbone(family)
    backbone.model.save_pretrained(tmp_path / "model")
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    where = ["backbone=hub", f"backbone.name={tmp_path / 'model'}", f"runs={tmp_path / 'runs'}"]
    arguments = ["-m", f"method={','.join(sorted(METHODS))}", *where, *SIZES, *QUICK]
    monkeypatch.setattr(sys, "argv", ["peft-run", *arguments])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().err
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("**/result.json")]
    assert {result["run"]["method"] for result in results} == METHODS - refused
    assert f"{len(refused)} of {len(METHODS)} runs failed" in shown and "Traceback" not in shown
    for result in results:
        assert 0 < result["cost"]["params_stored"] <= result["cost"]["params_trained"] and result["scores"]["bleu"] >= 0
