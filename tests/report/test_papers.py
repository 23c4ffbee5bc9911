"""The papers' numbers: each with its source, none unverified; and ours beside them."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from peft_cli.report.papers import PaperTable, commands, lines, matching_tables, read_file, read_tables
from peft_cli.report.runs import parse_run
from tests.cli.test_report import make_result

ROOT = Path(__file__).parents[2]
METHODS = ROOT.parent / "shared" / "methods.md"
TABLES = {table.name: table for table in read_tables()}


def numbers(table):
    return [value for row in table.rows for value in row["values"] if value is not None]


def test_there_are_enough_numbers_and_names_are_unique():
    assert sum(len(numbers(table)) for table in read_tables()) >= 120 and len(TABLES) == len(read_tables())


@pytest.mark.parametrize("table", read_tables(), ids=lambda table: table.name)
def test_every_number_has_a_source_with_an_address(table):
    assert all(cited["text"] and cited["url"].startswith("https://") for cited in table.citations)
    assert numbers(table) or table.claim
    assert all(re.fullmatch(r"[\w-]+\.\w+", column) for column in table.columns)
    assert set(table.fractions) <= set(table.columns)


@pytest.mark.skipif(not METHODS.exists(), reason="the notes on the papers are not part of the project")
def test_every_number_stands_in_the_notes_and_none_is_marked_unverified():
    """A paragraph with [MEM] is unverified; a number of ours has to stand outside of all of them."""
    text = METHODS.read_text(encoding="utf-8")
    verified = "\n".join(line for line in text.splitlines() if "[MEM]" not in line)
    known = {float(number) for number in re.findall(r"(?<![\w.])\d*\.?\d+", verified)}
    missing = [(table.name, value) for table in read_tables() for value in numbers(table) if float(value) not in known]
    assert not missing


@pytest.mark.parametrize("line", sorted({line for table in read_tables() for line in table.commands}))
def test_the_commands_name_options_and_keys_that_there_are(line):
    words = shlex.split(line)
    assert words[:2] == ["peft-run", "-m"]
    asked = dict(word.split("=", 1) for word in words[2:])
    groups = {path.name: path for path in (ROOT / "conf").iterdir() if path.is_dir()}
    wanted = {group: asked[group].split(",") for group in ("data", "method") if group in asked}
    absent = [f"{g}={o}" for g, os in wanted.items() for o in os if not (groups[g] / f"{o}.yaml").exists()]
    assert not absent
    top = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    for name in asked:
        group, _, key = name.partition(".")
        if not key:
            assert name in groups or name in top, name
            assert name not in groups or all((groups[name] / f"{o}.yaml").exists() for o in asked[name].split(","))
            continue
        for option in asked.get(group, "few_shot" if group == "train" else "hub").split(","):
            assert key in keys(groups[group], option), f"{group}={option} has no {key}"


def keys(folder, option):
    """The keys of an option, with those of the options that it starts from."""
    content = yaml.safe_load((folder / f"{option}.yaml").read_text())
    found = set(content) - {"defaults"}
    return found.union(*(keys(folder, base) for base in content.get("defaults", []) if isinstance(base, str)))


def ours(**changes):
    return make_result(
        "prefix", shots=None, test_limit=None, run__data="webnlg", run__backbone="gpt2-medium", **changes
    )


def beside(table, *results):
    runs = [parse_run(f"{i}", result) for i, result in enumerate(results)]
    return {line[0].text: [cell.text for cell in line[1:]] for line in lines(TABLES[table], runs)}


def test_ours_stands_beside_theirs_in_their_unit():
    found = beside(
        "prefix_webnlg", *(ours(seed=s, scores__bleu=b, scores__meteor=m) for s, b, m in [(0, 55.0, 40), (1, 56.0, 42)])
    )
    assert found["webnlg.bleu · prefix · gpt2-medium · v1"] == ["55.1", "55.5 ± 6.4", "2", "+0.4", "yes"]
    assert found["webnlg.meteor · prefix · gpt2-medium · acl"] == ["0.41", "0.41 ± 0.13", "2", "+0.00", "yes"]
    assert found["webnlg.bleu · ft · gpt2-medium · v1"] == ["46.5", "not run", "0", "-", "-"]
    assert found["webnlg.bleu · best before · both"][1] == "not here"


def test_one_run_has_no_interval_that_theirs_could_lie_in():
    assert beside("prefix_webnlg", ours())["webnlg.bleu · prefix · gpt2-medium · v1"] == [
        "55.1",
        "40.0 ± -",
        "1",
        "-15.1",
        "-",
    ]


@pytest.mark.parametrize(
    "changes", [{"shots": 50}, {"test_limit": 20}, {"run__backbone": "gpt2"}, {"run__data": "e2e"}]
)
def test_runs_of_other_places_are_not_ours(changes):
    made = {"shots": None, "test_limit": None, "run__data": "webnlg", "run__backbone": "gpt2-medium"} | changes
    assert (
        beside("prefix_webnlg", make_result("prefix", **made))["webnlg.bleu · prefix · gpt2-medium · v1"][1]
        == "not run"
    )


def test_several_settings_are_not_pooled():
    found = beside("prefix_webnlg", ours(seed=0), ours(seed=1, config__method__lr=7))
    assert found["webnlg.bleu · prefix · gpt2-medium · v1"][1] == "2 settings: choose with --where"


def test_tables_without_a_run_are_named():
    *shown, rest = matching_tables([parse_run("0", ours())])
    assert [section.title for section in shown] == [
        "Paper beside ours · prefix_webnlg: Table 1, WebNLG 2017: seen, unseen, all"
    ]
    assert "prefix_e2e" in rest.notes[0] and "prefix_webnlg" not in rest.notes[0]


def test_a_table_without_runs_of_its_own_says_why():
    with pytest.raises(ValueError, match="a run is scored on the test set"):
        commands(["prefix_development"])
    assert len(commands(["prefix_e2e"])) == 5


@pytest.mark.parametrize("row", ["{source: v1, values: [1]}", "{source: v9, values: [1, 2]}", "{values: [1, 2]}"])
def test_a_row_that_does_not_fit_its_table_is_refused(tmp_path, row):
    path = tmp_path / "paper.yaml"
    path.write_text(
        f"sources: {{v1: {{text: a, url: b}}}}\ntables: [{{name: t, title: t, columns: [a.b, a.c], rows: [{row}]}}]"
    )
    with pytest.raises(ValueError, match=r"paper.yaml: t has a row"):
        read_file(path)


def test_digits_are_those_that_are_printed():
    table = PaperTable("t", "t", ["a.b"], [{"values": [0.39]}, {"values": [0.5]}], {})
    assert table.digits == [2]
