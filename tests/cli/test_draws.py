"""experiments/draws.json: the draws that this package makes are those that it published."""

import json
from pathlib import Path

import pytest

from peft_cli.cli.draws import SHOTS, describe_draws, ids_checksum, main, read_set
from tests.data.loading import SHARED

PUBLISHED = json.loads((Path(__file__).parents[2] / "experiments" / "draws.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_draws_are_drawn_again_from_the_numbers_of_examples_alone(name):
    part = PUBLISHED[name]
    made_up = describe_draws(*read_set(name, f"{part['n_train']},{part['n_validation']}"))
    drawn = json.loads(json.dumps(made_up))
    for seed in map(str, range(5)):
        assert drawn[seed]["train"] == part[seed]["train"] and len(part[seed]["train"]) == max(SHOTS)
        if name != "webnlg":  # one of whose validation examples has no text, and one shares its source with a drawn one
            assert drawn[seed] | {"texts_sha256": 0} == part[seed] | {"texts_sha256": 0}


@pytest.mark.skipif(not SHARED.exists(), reason="needs the published files")
def test_the_published_checksums_are_those_of_the_files(tmp_path):
    main(str(tmp_path / "draws.json"), f"webnlg={SHARED / 'webnlg' / 'webnlg_challenge_2017'}")
    assert json.loads((tmp_path / "draws.json").read_text())["webnlg"] == PUBLISHED["webnlg"]


def test_the_published_sets_are_those_of_the_few_shot_papers():
    assert set(PUBLISHED) == {"e2e", "webnlg", "webnlg2020", "dart"}
    assert (PUBLISHED["dart"]["n_train"], PUBLISHED["e2e"]["n_train"]) == (62659, 42061)


def test_a_checksum_is_that_of_sha256sum():
    # printf 'train-0\ntrain-1\n' | sha256sum
    two = read_set("any", "2,0")[0].train
    assert ids_checksum(two) == "4ac6a0d679fac5dd2b86f5146289fbf1b9c91c97c7738db6768199554a48b1dc"
