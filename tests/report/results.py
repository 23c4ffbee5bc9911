"""Results of a whole study, written here: methods x shots x seeds, with what follows known beforehand."""

import json
import math
from pathlib import Path
from random import Random

from tests.cli.test_report import make_result, untouched

# method -> (weights stored, BLEU at 50 shots, points that ten times the shots add, ms a step)
METHODS = {
    "pt": (19_200, 24.0, 6.0, 98), "spt": (19_392, 25.0, 6.5, 99), "dept": (4_992, 22.0, 7.0, 53),
    "prefix": (11_520, 26.0, 9.0, 47), "lora": (36_864, 34.0, 8.0, 51), "adapter": (57_744, 35.0, 8.5, 50),
    "ia3": (6_912, 30.0, 5.0, 51), "bitfit": (12_864, 31.0, 5.5, 48), "compacter": (7_840, 29.0, 7.5, 58),
    "ft_top2": (889_728, 38.0, 9.0, 36), "ft": (3_554_304, 36.0, 12.0, 68),
}  # fmt: skip
SHOTS = (10, 50, 200, 500)


def result(method, shots, seed, data="mini", noise=1.0, **changes):
    """One run of the study; its score is what METHODS says and a draw that the seed alone decides."""
    stored, at_50, slope, step = METHODS[method]
    drawn = Random(f"{method}/{shots}/{seed}/{data}").gauss(0, noise)
    bleu = at_50 + slope * math.log10(shots / 50) + drawn + (4.0 if data == "e2e" else 0.0)
    scores = {"bleu": bleu, "bleu_seen": bleu + 5, "bleu_unseen": bleu - 5 - slope / 2, "rougeL": bleu + 10}
    steps = {
        "median": (step + seed / 2) / 1000,
        "p10": step / 1100,
        "p25": step / 1050,
        "p75": step / 950,
        "p90": step / 900,
    }
    given = {"run__data": data, "scores": scores, "cost__params_stored": stored, "cost__params_trained": stored,
             "cost__step_seconds": steps, "cost__bytes_stored": 4 * stored + 80,
             "cost__peak_memory_bytes": (600 + step) * 2**20}  # fmt: skip
    made = make_result(method, shots, seed, **(given | changes))
    made["cost"] |= {"flops_per_step": step * 10**8, "saved_for_backward_bytes": step * 2**20, "total_seconds": 60.0}
    made["data"]["sha256"] |= {"train": f"{data}/{shots}/{made['run']['data_seed']}"}
    return made


def study(methods=METHODS, shots=SHOTS, seeds=range(5), data=("mini", "e2e")):
    """All runs of a study, with the untouched backbone of each data set."""
    floors = [
        untouched(run__data=name, scores={"bleu": 13.5, "bleu_seen": 14.0, "bleu_unseen": 12.0, "rougeL": 30.0})
        for name in data
    ]
    return floors + [result(m, k, s, d) for d in data for m in methods for k in shots for s in seeds]


def write_study(runs: Path, results, with_log=True):
    """Writes each result where peft-run would, and a log with validations."""
    for i, made in enumerate(results):
        run = made["run"]
        folder = (
            runs / run["data"] / run["backbone"] / run["method"] / f"shots={run['shots']},seed={run['seed']}-{i:010}"
        )
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(made), encoding="utf-8")
        if with_log and made["training"]:
            level = 6 - made["scores"]["bleu"] / 10
            rows = [{"step": step, "validation_loss": level * (1 + math.exp(-step / 80))} for step in range(0, 401, 50)]
            (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return runs
