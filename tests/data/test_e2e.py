from pathlib import Path

import pytest

from peft_cli.data.e2e import linearise, load

ROOT = Path(__file__).parents[3] / "shared" / "data" / "e2e"
needs_files = pytest.mark.skipif(not ROOT.exists(), reason="needs the official E2E files")


def test_a_meaning_representation_becomes_one_line():
    mr = "name[The Vaults], eatType[pub], priceRange[more than £30], customer rating[5 out of 5], familyFriendly[no]"
    expected = (
        "name : The Vaults | Type : pub | price : more than £30 | customer rating : 5 out of 5 | family friendly : no"
    )
    assert linearise(mr) == expected


@needs_files
def test_the_official_files_have_their_official_counts():
    data = load(str(ROOT))
    assert [len(data.train), len(data.validation), len(data.test)] == [42061, 547, 630]
    assert [sum(len(e.references) for e in split) for split in (data.validation, data.test)] == [4672, 4693]


@needs_files
def test_sources_are_those_of_prefix_tunings_own_file():
    lines = (ROOT / "prefix_tuning_format" / "src1_test.txt").read_text(encoding="utf-8").splitlines()
    # their values are tokenised, as "£ 20"
    theirs = {" ".join(line.split("||")[0].split()).replace("£ ", "£").replace("20 - 25", "20-25") for line in lines}
    assert theirs == {example.source for example in load(str(ROOT)).test}


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"has no trainset\.csv; get the files from https://github.com/tuetschek"):
        load(str(tmp_path))


def test_a_file_with_other_columns_is_refused(tmp_path):
    (tmp_path / "trainset.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has the columns a, b; it has to have mr and ref"):
        load(str(tmp_path))


def test_a_file_with_too_few_rows_is_refused(tmp_path):
    (tmp_path / "trainset.csv").write_text("mr,ref\nname[A],B\n")
    with pytest.raises(ValueError, match="has 1 rows where the official file has 42061"):
        load(str(tmp_path))
