import json
import re
import shutil

import pytest

from peft_cli.run_folder.discovery import find_run_folders, read_results


def make(folder, **files):
    folder.mkdir(parents=True)
    for name, content in (files or {"result": "{}"}).items():
        (folder / f"{name}.json").write_text(content)
    return folder


def names(*roots):
    return [str(path.relative_to(roots[0])) for path in find_run_folders(*roots)]


def test_each_folder_with_a_file_of_a_run_is_one(tmp_path):
    for name in ("result", "error", "slurm"):
        make(tmp_path / name, **{name: "{}"})
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "log.jsonl").touch()
    make(tmp_path / "other", config="{}")
    assert names(tmp_path) == ["error", "log", "result", "slurm"]


def test_a_run_inside_of_a_run_is_one_too_but_not_in_hidden_folders(tmp_path):
    for folder in ("a", "a/b", "a/wandb", ".sweep/slurm/c"):
        make(tmp_path / folder)
    make(tmp_path / "wandb")
    (tmp_path / "result.json").write_text("{}")
    assert names(tmp_path) == [".", "a", "a/b"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    runs, disk = tmp_path / "runs", tmp_path / "disk"
    make(disk / "pt" / "seed=0")
    make(runs / "ft" / "seed=0")
    for link, target in (
        ("pt", disk / "pt"),
        ("twice", disk / "pt"),
        ("loop", runs),
        ("dead", runs / "no"),
        ("run", disk / "pt" / "seed=0"),
    ):
        (runs / link).symlink_to(target)
    (disk / "pt" / "back").symlink_to(runs)
    assert names(runs) == ["ft/seed=0", "pt/seed=0"]
    assert names(runs, runs / "ft", disk) == ["ft/seed=0", "pt/seed=0"]


def test_an_absent_folder_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=f"there is no folder {tmp_path}/no; name the one that peft-run was given as"):
        list(find_run_folders(tmp_path / "no"))


def test_a_folder_that_cannot_be_read_costs_a_warning(tmp_path):
    make(tmp_path / "a")
    gone, warnings = make(tmp_path / "b" / "c").parent, []
    found = find_run_folders(tmp_path, warn=warnings.append)
    assert next(found) == tmp_path / "a"
    shutil.rmtree(gone)
    assert list(found) == [] and warnings == [f"{gone} is left out: No such file or directory"]


def test_finished_runs_are_read_and_broken_results_cost_a_warning(tmp_path):
    make(tmp_path / "done", result='{"run": 1}')
    make(tmp_path / "failed", error="{}")
    for name, content in {"empty": "", "list": "[]", "half": "{"}.items():
        make(tmp_path / name, result=content)
    make(tmp_path / "device", error="{}")
    (tmp_path / "device" / "result.json").symlink_to("/dev/zero")
    warnings = []
    found = list(read_results(tmp_path, warn=warnings.append))
    assert found == [(tmp_path / "done", {"run": 1})]
    left_out = [re.search(r"/(\w+)/result.json cannot be read: .*; the run is left out$", text)[1] for text in warnings]
    assert left_out == ["device", "empty", "half", "list"]


def test_no_name_of_a_folder_controls_the_terminal(tmp_path, capsys):
    make(tmp_path / "\x1b[2J", result=json.dumps([]))
    assert list(read_results(tmp_path)) == [] and "\x1b" not in capsys.readouterr().err
