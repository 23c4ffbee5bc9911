import pytest

from peft_cli.data.e2e import linearise_plain
from tests.data.loading import SHARED, arguments, load_data

ROOT = SHARED / "e2e"
needs_files = pytest.mark.skipif(not ROOT.exists(), reason="needs the official E2E files")


def test_a_meaning_representation_becomes_one_line():
    mr = "name[The Vaults], eatType[pub], priceRange[more than £30], customer rating[5 out of 5], familyFriendly[no]"
    expected = (
        "name : The Vaults | Type : pub | price : more than £30 | customer rating : 5 out of 5 | family friendly : no"
    )
    assert linearise_plain(mr) == expected


@pytest.fixture(scope="module")
def data():
    return load_data(*arguments("e2e"))


@needs_files
def test_the_official_files_have_their_official_counts(data):
    assert [len(data.train), len(data.validation), len(data.test)] == [42061, 547, 630]
    assert [sum(len(e.references) for e in split) for split in (data.validation, data.test)] == [4672, 4693]
    assert data.protocol == "e2e" and data.notes["checked_rows"]["train"] == 42061


@needs_files
def test_sources_are_those_of_prefix_tunings_own_file(data):
    lines = (ROOT / "prefix_tuning_format" / "src1_test.txt").read_text(encoding="utf-8").splitlines()
    # their values are tokenised, as "£ 20"
    theirs = {" ".join(line.split("||")[0].split()).replace("£ ", "£").replace("20 - 25", "20-25") for line in lines}
    assert theirs == {example.source for example in data.test}


def test_missing_files_say_where_to_get_them(tmp_path):
    (tmp_path / "devset.csv").write_text("mr,ref\n")
    with pytest.raises(ValueError, match=r"has no trainset\.csv, testset_w_refs\.csv; get the files from https://git"):
        load_data("data=e2e", f"data.root={tmp_path}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "has the columns a, b; it has to have mr and ref"),
        ("mr,ref\nname[A],B\n", "has 1 rows of train where the official data has 42061; get it again from"),
    ],
)
def test_other_files_are_refused(tmp_path, text, sentence):
    for name in ("trainset.csv", "devset.csv", "testset_w_refs.csv"):
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load_data("data=e2e", f"data.root={tmp_path}")


def test_other_files_of_the_same_layout_pass_where_counts_are_not_checked(tmp_path):
    for name in ("trainset.csv", "devset.csv", "testset_w_refs.csv"):
        (tmp_path / name).write_text("mr,ref\nname[A],B\nname[A],C\n")
    data = load_data("data=e2e", f"data.root={tmp_path}", "data.rows=null")
    assert len(data.train) == 2 and data.test[0].references == ("B", "C")
    assert data.notes == {"origin": "files", "checked_rows": None}
