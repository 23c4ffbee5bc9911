"""The report's tables and CSV, from results written here. The numbers are inputs; what follows from them is checked."""

import csv
import json
import subprocess
import sys
from copy import deepcopy
from statistics import fmean, median, stdev

import pytest
from scipy.stats import t

from peft_cli.cli.report import main
from peft_cli.report.intervals import interval

BLEU = "nrefs:var|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0"
RESULT = {
    "run": {"method": "pt", "backbone": "tiny-gpt2", "data": "mini", "train": "few_shot", "decode": "beam"},
    "scores": {"bleu": 40.0, "rougeL": 50.0},
    "signatures": {"bleu": BLEU, "rouge": "rouge-score|stemmer:yes"},
    "cost": {
        "params_backbone": 3_554_304,
        "params_trained": 3840,
        "params_stored": 3840,
        "positions_added": 20,
        "bytes_stored": 15_440,
        "step_seconds": {"median": 0.25, "p10": 0.2, "p90": 0.4},
        "peak_memory_bytes": 700 * 2**20,
        "memory_kind": "rss",
        "generation_seconds_per_example": 0.21,
        "energy_joules": None,
    },
    "training": {"steps": 30, "best_validation_loss": 5.4},
    "data": {"train_ids": ["train-1"] * 50, "validation_ids": [], "n_test": 20, "sha256": {"test": "3df1785847259c5e"}},
    "backbone": {"sha256": "4a1fd05e79c06a20be66"},
    "environment": {
        "python": "3.11.7",
        "versions": {"peft-cli": "0.1.0", "torch": "2.13.0"},
        "commit": None,
        "device": "x86_64",
        "threads": 2,
    },
    "config": {
        "method": {"_target_": "peft_cli.method.pt.PT", "length": 20, "text": None, "lr": 0.01},
        "backbone": {"_target_": "peft_cli.backbone.load", "name": "tiny-gpt2", "dtype": "fp32", "device": "auto"},
        "data": {"_target_": "peft_cli.data.mini.load", "root": "here"},
        "train": {"steps": 30, "batch_size": 8},
        "decode": {"beams": 5},
        "wandb": {"mode": "disabled"},
        "runs": "runs",
    },
}


def make_result(method="pt", shots=50, seed=0, data_seed=0, test_limit=20, **changes):
    """A result; `changes` are values by dotted name, with "__" for the dot."""
    result = deepcopy(RESULT)
    chosen = {"shots": shots, "seed": seed, "data_seed": data_seed, "test_limit": test_limit}
    result["run"] |= {"method": method, **chosen}
    result["config"] |= chosen
    for name, value in changes.items():
        *parents, last = name.split("__")
        inner = result
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return result


def untouched(**changes):
    free = {
        "cost__params_trained": 0,
        "cost__params_stored": 0,
        "cost__step_seconds": {"median": None},
        "training": None,
    }
    return make_result("untouched", shots=0, **(free | changes))


def write(root, *results):
    """A run folder for each result, by its place in the list."""
    for i, result in enumerate(results):
        folder = root / "runs" / result["run"]["data"] / f"{i:05}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return root / "runs"


def tabulated(text):
    """Each table of a report: its heading, and its rows by column."""
    found = []
    for section in text.split("## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        rows = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]] if cells else []
        found.append((section.splitlines()[0], rows))
    return found


@pytest.fixture
def report(tmp_path, capsys):
    def report(*results):
        assert main([str(write(tmp_path, *results))]) == 0
        return capsys.readouterr().out

    return report


@pytest.mark.parametrize("values", [[40.0, 42.5], [40.0, 42.5, 39.1, 44.4, 41.0], [0.1 * i * i for i in range(12)]])
def test_interval_is_that_of_scipy(values):
    mean, half = interval(values)
    scale = stdev(values) / len(values) ** 0.5
    assert (mean - half, mean + half) == pytest.approx(
        t.interval(0.95, len(values) - 1, loc=fmean(values), scale=scale)
    )


def test_a_row_says_what_its_runs_say(report):
    bleu, steps = [40.0, 42.5, 39.1], [0.25, 0.3, 0.27]
    changes = [{"scores__bleu": b, "cost__step_seconds__median": s} for b, s in zip(bleu, steps, strict=True)]
    [(heading, [row])] = tabulated(report(*(make_result(seed=i, **change) for i, change in enumerate(changes))))
    half = fmean(bleu) - t.interval(0.95, 2, loc=fmean(bleu), scale=stdev(bleu) / 3**0.5)[0]
    assert heading == "mini · tiny-gpt2 · 50 shots"
    assert row == {
        "method": "pt", "runs": "3", "bleu": f"{fmean(bleu):.1f} ± {half:.1f}", "rougeL": "50.0 ± 0.0",
        "validation loss": "5.40 ± 0.00",
        "trained": "3,840", "stored": "3,840", "%": f"{100 * 3840 / 3_554_304:.3g}",
        "step ms": f"{1000 * median(steps):.0f}", "memory MiB": "700", "positions": "20", "bytes": "15,440",
        "s/example": "0.21",
    }  # fmt: skip


def test_one_run_has_no_interval(report):
    [(_, [row])] = tabulated(report(make_result()))
    assert row["bleu"] == "40.0 ± -"


def test_what_was_reached_on_validation_examples_has_a_column(report):
    runs = [make_result(seed=seed, training__best_validation_loss=5.4 + seed / 100) for seed in (0, 1)]
    half = 12.7062 * stdev([5.4, 5.41]) / 2**0.5
    [(_, [floor, pt])] = tabulated(report(untouched(), *runs))
    assert pt["validation loss"] == f"5.41 ± {half:.2f}" and floor["validation loss"] == "-"
    assert "validation metric" not in pt


def test_a_seed_and_a_data_seed_make_a_run_of_the_same_row(report):
    [(_, [row])] = tabulated(report(*(make_result(seed=s, data_seed=d) for s in (0, 1) for d in (0, 1))))
    assert row["runs"] == "4"


@pytest.mark.parametrize("key", ["method__lr", "method__length", "train__steps", "decode__beams", "backbone__dtype"])
def test_configurations_never_mix(report, key):
    changed = {f"config__{key}": 7, "scores__bleu": 10.0}
    [(_, rows)] = tabulated(report(make_result(seed=0), make_result(seed=1), make_result(seed=0, **changed)))
    name = key.replace("__", ".")
    assert {(row["method"].split("=")[0], row["runs"]) for row in rows} == {(f"pt ({name}", "2"), (f"pt ({name}", "1")}
    assert [row["bleu"] for row in rows if row["method"] == f"pt ({name}=7)"] == ["10.0 ± -"]


def test_a_setting_that_only_some_have_keeps_rows_apart(report):
    [(_, rows)] = tabulated(report(make_result(seed=0), make_result(seed=1, config__method__alpha=2)))
    assert {row["method"] for row in rows} == {"pt (no method.alpha)", "pt (method.alpha=2)"}


def test_what_differs_between_methods_outside_of_them_is_told(report):
    [(_, rows)] = tabulated(report(make_result("pt"), make_result("spt", config__decode__beams=1)))
    assert {row["method"] for row in rows} == {"pt (decode.beams=5)", "spt (decode.beams=1)"}


@pytest.mark.parametrize("key", ["runs", "wandb__mode", "data__root", "backbone__device"])
def test_what_cannot_change_a_result_does_not_part_runs(report, key):
    [(_, [row])] = tabulated(report(make_result(seed=0), make_result(seed=1, **{f"config__{key}": "other"})))
    assert (row["method"], row["runs"]) == ("pt", "2")


def test_the_same_seeds_twice_are_one_run(report):
    text = report(make_result(seed=0), make_result(seed=0, config__runs="elsewhere"))
    assert tabulated(text)[0][1][0]["bleu"] == "40.0 ± -"
    assert "runs: 1; 1 more with the settings and seeds of one of these left out" in text


def test_a_folder_named_twice_is_read_once(tmp_path, capsys):
    runs = write(tmp_path, make_result())
    assert main([str(runs), str(runs / "mini"), str(runs)]) == 0
    [(_, [row])] = tabulated(capsys.readouterr().out)
    assert row["runs"] == "1"


def test_the_floor_is_first_in_every_table_and_then_what_is_stored_orders(report):
    ft, pt = make_result("ft", cost__params_stored=3_554_304), make_result("pt")
    more = make_result("pt", shots=200)
    found = tabulated(report(ft, pt, more, untouched(seed=7, config__train={"steps": 1}), untouched()))
    assert [[row["method"] for row in rows] for _, rows in found] == [["untouched", "pt", "ft"], ["untouched", "pt"]]
    assert [row["runs"] for row in found[0][1]] == ["1", "1", "1"]
    assert found[0][1][0]["step ms"] == "-"


def test_a_floor_alone_has_a_table(report):
    assert [heading for heading, _ in tabulated(report(untouched()))] == ["mini · tiny-gpt2 · 0 shots"]


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"test_limit": None, "data__sha256": {"test": "e450c20db0951234"}}, ["test_limit=20", "test_limit=None"]),
        (
            {"data__sha256": {"test": "e450c20db0951234"}},
            [f"data.sha256.test={s}" for s in ("3df178584725", "e450c20db095")],
        ),
        ({"signatures__bleu": BLEU.replace("2.6.0", "2.5.0")}, [f"signatures.bleu=version:2.{i}.0" for i in (6, 5)]),
        ({"config__backbone__name": "large"}, ["backbone.name=tiny-gpt2", "backbone.name=large"]),
    ],
)
def test_what_cannot_be_compared_has_a_table_of_its_own(report, changes, apart):
    found = tabulated(report(make_result(seed=0), make_result(seed=1, **changes), untouched()))
    assert sorted(heading for heading, _ in found) == sorted(
        f"mini · tiny-gpt2 · 50 shots · {facts}" for facts in apart
    )
    assert sorted(len(rows) for _, rows in found) == [1, 2]  # the floor is of one of the two


def test_data_backbones_and_shots_have_tables_of_their_own(report):
    places = [{"run__data": "e2e"}, {"run__backbone": "gpt2"}, {"shots": 200}, {"shots": None}, {}]
    headings = [heading for heading, _ in tabulated(report(*(make_result(**place) for place in places)))]
    assert headings == [
        "e2e · tiny-gpt2 · 50 shots",
        "mini · gpt2 · 50 shots",
        *(f"mini · tiny-gpt2 · {shots} shots" for shots in (50, 200, "all")),
    ]


def test_timings_of_several_machines_are_left_out(report):
    text = report(make_result(seed=0), make_result(seed=1, environment__device="NVIDIA H200"))
    [(_, [row])] = tabulated(text)
    assert not {"step ms", "s/example"} & set(row) and "memory MiB" in row
    assert "device: x86_64 (threads: 2) or NVIDIA H200 (threads: 2)" in text
    assert "not shown" in text and "step ms, s/example" in text


def test_step_times_stay_where_only_the_floor_is_of_another_machine(report):
    [(_, rows)] = tabulated(report(make_result(), untouched(environment__threads=1)))
    assert "step ms" in rows[0] and "s/example" not in rows[0]


def test_a_score_that_is_null_makes_no_mean(report):
    [(_, [row])] = tabulated(report(make_result(seed=0), make_result(seed=1, scores__bleu=None)))
    assert (row["bleu"], row["runs"]) == ("-", "2")


def test_notes_tell_what_was_measured(report):
    text = report(make_result(), make_result(seed=1, environment__versions={"peft-cli": "0.2.0", "torch": "2.13.0"}))
    for note in (
        f"bleu: `{BLEU}`",
        "test examples: 20",
        "versions: python 3.11.7, peft-cli 0.1.0 or 0.2.0, torch 2.13.0",
    ):
        assert f"- {note}\n" in text + "\n"


def test_scores_of_different_protocols_have_tables_of_their_own(report):
    by = [
        {"protocol": name, "items": 20, "unreferenced": 0, "references": [[2, 5], [3, 15]]} for name in ("e2e", "dart")
    ]
    found = report(make_result(seed=0, scored=by[0]), make_result(seed=1, scored=by[1]))
    assert [heading for heading, _ in tabulated(found)] == [
        "mini · tiny-gpt2 · 50 shots · protocol=dart", "mini · tiny-gpt2 · 50 shots · protocol=e2e"
    ]  # fmt: skip
    assert "- protocol: e2e, 20 items; references of an item (so many items): 2 (5), 3 (15)\n" in found


def test_a_protocol_that_was_asked_for_by_name_does_not_part_runs(report):
    results = [make_result(seed=0, config__protocol=None), make_result(seed=1, config__protocol="plain")]
    [(_, [row])] = tabulated(report(*results))
    assert row["runs"] == "2"


def test_why_a_score_has_no_value_is_told(report):
    lacking = make_result(seed=1, scores__bleu=None, undefined={"bleu": "no item has a reference"})
    assert "- bleu: no value in 1 of 2 runs: no item has a reference\n" in report(make_result(seed=0), lacking)


@pytest.mark.parametrize(
    ("values", "shown"), [((2.234, 1.857), ["2.23 ± -", "1.86 ± -"]), ((40.04, 9.96), ["40.0 ± -", "10.0 ± -"])]
)
def test_scores_that_are_no_percentages_have_two_digits(report, values, shown):
    results = [make_result(name, scores={"cider": value}) for name, value in zip(("a", "b"), values, strict=True)]
    [(_, rows)] = tabulated(report(*results))
    assert [row["cider"] for row in rows] == shown


@pytest.mark.parametrize("content", ["{", "[]", "\xff", '{"run": {"data": "mini"}}', '{"config": null}'])
def test_a_broken_result_is_named_and_skipped(tmp_path, capsys, content):
    runs = write(tmp_path, make_result(seed=0), make_result(seed=1))
    broken = runs / "mini" / "00000" / "result.json"
    broken.write_bytes(content.encode("latin-1"))
    assert main([str(runs)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("peft-report: warning:") and str(broken) in captured.err
    assert captured.err.count("\n") == 1
    assert tabulated(captured.out)[0][1][0]["runs"] == "1"


def test_failed_and_interrupted_runs_are_told(tmp_path, capsys):
    runs = write(tmp_path, make_result())
    for name, file in (("failed", "error.json"), ("stopped", "log.jsonl"), ("mini/00000", "error.json")):
        (runs / name).mkdir(exist_ok=True)
        (runs / name / file).write_text(
            json.dumps({"error": "ValueError: too long\nby far", "command": "", "traceback": ""})
        )
    assert main([str(runs)]) == 0
    end = capsys.readouterr().out.partition("## Runs without a row\n\n")[2].splitlines()
    assert end[0] == f"- `{runs / 'failed'}`: ValueError: too long"
    assert end[1].startswith("- 1 interrupted") and len(end) == 2


def test_csv_has_one_row_for_each_run(tmp_path):
    results = [make_result(seed=i, scores__bleu=40 + i / 3) for i in range(3)] + [untouched()]
    results[0]["config"]["method"]["text"] = 'a, "quoted"\nprompt'
    path = tmp_path / "all.csv"
    assert main([str(write(tmp_path, *results)), "--csv", str(path)]) == 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["scores.bleu"]) for row in rows] == [result["scores"]["bleu"] for result in results]
    assert [row["config.method.text"] for row in rows] == ['a, "quoted"\nprompt', "", "", ""]
    assert [row["training.steps"] for row in rows] == ["30", "30", "30", ""]
    assert not {"training", "data.train_ids"} & set(rows[0])


def test_markdown_file_has_what_is_printed(tmp_path, capsys):
    path = tmp_path / "table.md"
    assert main([str(write(tmp_path, make_result())), "--markdown", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["absent"], ["."], ["--colour"], [".", "--csv", "absent/x.csv"]])
def test_a_wrong_request_is_one_sentence(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    if "--csv" in arguments:
        write(tmp_path, make_result())
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("peft-report: ") and captured.err.count("\n") == 1 and not captured.out


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom peft_cli.cli.report import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*{'torch', 'transformers', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "peft-report" in done.stdout and not done.stderr.strip()
