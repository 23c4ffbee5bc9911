"""experiments/draws.json: the draws that this package makes are those that it published."""

import json
from pathlib import Path

import pytest

from peft_cli.cli.draws import SHOTS, data_of, draws, ids_checksum, main
from tests.data.loading import SHARED

PUBLISHED = json.loads((Path(__file__).parents[2] / "experiments" / "draws.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_draws_are_drawn_again_from_the_numbers_of_examples_alone(name):
    part = PUBLISHED[name]
    found = json.loads(json.dumps(draws(data_of(name, f"{part['n_train']},{part['n_validation']}"))))
    for seed in map(str, range(5)):
        assert found[seed]["train"] == part[seed]["train"] and len(part[seed]["train"]) == max(SHOTS)
        if name != "webnlg":  # of whose validation examples one has no text, so that ids are not all numbers in turn
            assert found[seed] | {"texts_sha256": 0} == part[seed] | {"texts_sha256": 0}


@pytest.mark.skipif(not SHARED.exists(), reason="needs the published files")
def test_the_published_checksums_are_those_of_the_files(tmp_path):
    main(str(tmp_path / "draws.json"), f"webnlg={SHARED / 'webnlg' / 'webnlg_challenge_2017'}")
    assert json.loads((tmp_path / "draws.json").read_text())["webnlg"] == PUBLISHED["webnlg"]


def test_the_published_sets_are_those_of_the_few_shot_papers():
    assert set(PUBLISHED) == {"e2e", "webnlg", "webnlg2020", "dart"}
    assert (PUBLISHED["dart"]["n_train"], PUBLISHED["e2e"]["n_train"]) == (62659, 42061)


def test_a_checksum_is_that_of_sha256sum():
    # printf 'train-0\ntrain-1\n' | sha256sum
    two = data_of("any", "2,0").train
    assert ids_checksum(two) == "4ac6a0d679fac5dd2b86f5146289fbf1b9c91c97c7738db6768199554a48b1dc"
