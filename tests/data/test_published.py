"""Every data set whose files are at hand: published counts, a few rows, references and parts of the test sets."""

from collections import Counter

import pytest

from peft_cli.data import Data, few_shot
from tests.data.loading import AT_HAND, SHARED, arguments, load_data

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs the published files")
SIZES = {
    "webnlg": (18025, 871, 1862),
    "webnlg2020": (35421, 1667, 1779),
    "dart": (18102, 2768, 5097),
    "xsum": (600, 0, 500),
    "cola": (8551, 521, 522),
    "sst2": (66349, 1000, 872),
    "mrpc": (3668, 204, 204),
    "rte": (2490, 138, 139),
    "stsb": (5749, 750, 750),
    "qnli": (7999, 1000, 5463),
    "qqp": (8999, 0, 1000),
    "mnli": (8999, 1000, 9815),
    "boolq": (32, 1635, 1635),
    "cb": (32, 28, 28),
    "wic": (32, 319, 319),
    "copa": (32, 50, 50),
    "mr": (7662, 1000, 2000),
    "cr": (775, 1000, 2000),
    "mpqa": (7606, 1000, 2000),
    "subj": (7000, 1000, 2000),
    "trec": (4452, 1000, 500),
    "sst5": (8544, 1101, 2210),
    "scitail": (0, 0, 2126),
}
FIRST = {
    "webnlg": ("| Aarhus_Airport : cityServed : \"Aarhus, Denmark\"", "The Aarhus is the airport of Aarhus, Denmark."),
    "dart": ('Aarhus Airport : city_served : "Aarhus, Denmark"', "The Aarhus is the airport of Aarhus, Denmark."),
    "cola": ("sentence: Our friends won't buy this analysis, let alone the next one we propose.", "acceptable"),
    "stsb": ("sentence1: A plane is taking off. sentence2: An air plane is taking off.", "5.000"),
    "rte": ("sentence1: No Weapons of Mass Destruction Found in Iraq Yet. sentence2: Weapons of Mass Destruction Found "
            "in Iraq.", "contradiction"),
    "copa": ("premise: The chandelier shattered on the floor. choice1: The chandelier dropped from the ceiling. "
             "choice2: The chandelier's lights flickered on and off. question: cause", "choice1"),
    "sst5": ("sentence: a stirring , funny and finally transporting re-imagining of beauty and the beast and 1930s "
             "horror films", "great"),
}  # fmt: skip


@pytest.fixture(scope="module")
def load():
    known: dict[str, Data] = {}
    return lambda name: known.setdefault(name, known.get(name) or load_data(*arguments(name)))


@pytest.mark.parametrize("name", SIZES)
def test_a_data_set_has_its_published_size(load, name):
    data = load(name)
    assert (len(data.train), len(data.validation), len(data.test)) == SIZES[name]
    every = [*data.train, *data.validation, *data.test]
    assert len({example.id for example in every}) == len(every)
    if data.labels:
        assert {example.references[0] for example in every} == set(data.labels)


@pytest.mark.parametrize("name", FIRST)
def test_the_first_row_reads_as_published(load, name):
    first = load(name).train[0]
    assert (first.source, first.references[0]) == FIRST[name]


def test_the_test_sets_have_all_their_references(load):
    counts = {name: sum(len(e.references) for e in load(name).test) for name in ("webnlg", "webnlg2020", "dart")}
    assert counts == {"webnlg": 4928, "webnlg2020": 5150, "dart": 12552 - 1}  # one of DART's is empty


def test_the_test_sets_have_their_published_parts(load):
    assert Counter(e.subset for e in load("webnlg").test) == {"seen": 971, "unseen": 891}
    types = {"seen_categories": 490, "unseen_entities": 393, "unseen_categories": 896}
    assert Counter(e.subset for e in load("webnlg2020").test) == types


def test_lm_bffs_draws_are_read_as_published():
    keys = "data=sst2", f"data.root={SHARED / 'lm_bff_k_shot' / 'SST-2'}", "data.split=lmbff"
    data = few_shot(load_data(*keys), 16, 13, None)
    assert Counter(e.references[0] for e in data.train) == {"negative": 16, "positive": 16}
    assert len(data.validation) == 32 and len(data.test) == 872 and data.notes["checked_rows"] is None
    assert data.train[0].source == "sentence: nothing happens , and it happens to flat characters ."
    with pytest.raises(
        ValueError, match="shots=16 data_seed=0 is none of the published draws; they are shots=16 data_"
    ):
        few_shot(load_data(*keys), 16, 0, None)


FOLDERS = {
    "cola": ("CoLA", 32, 1043), "mrpc": ("MRPC", 32, 408), "rte": ("RTE", 32, 277), "stsb": ("STS-B", 32, 1500),
    "qnli": ("QNLI", 32, 5463), "mr": ("mr", 32, 2000), "cr": ("cr", 32, 2000), "mpqa": ("mpqa", 32, 2000),
    "subj": ("subj", 32, 2000), "trec": ("trec", 96, 500), "sst5": ("sst-5", 80, 2210),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_every_one_of_lm_bffs_sets_has_five_draws(name):
    folder, shots, tested = FOLDERS[name]
    data = load_data(f"data={name}", f"data.root={SHARED / 'lm_bff_k_shot' / folder}", "data.split=lmbff")
    assert sorted(data.draws) == [(16, seed) for seed in (13, 21, 42, 87, 100)]
    assert {len(part) for draw in data.draws.values() for part in draw} == {shots} and len(data.test) == tested


def test_lm_bffs_mnli_needs_a_test_file():
    keys = "data=mnli", f"data.root={SHARED / 'lm_bff_k_shot' / 'MNLI'}", "data.split=lmbff"
    with pytest.raises(ValueError, match="has no test file; put it there, or say"):
        load_data(*keys)
    assert len(load_data(*keys, "data.test=../../glue/MNLI/dev_matched.jsonl").test) == 9815


def test_without_a_training_file_dart_says_so():
    with pytest.raises(ValueError, match=r"has no dart-v1\.1\.1-full-train\.json; get the files from https://github"):
        load_data("data=dart", f"data.root={SHARED / 'dart'}")


def test_an_article_of_another_split_is_refused():
    keys = [one for one in arguments("xsum") if "data.test" not in one]
    with pytest.raises(ValueError, match=r"data\.test has the article \d+, which XSum-TRAINING.* has not in test"):
        load_data(*keys, "data.test=train.sample.jsonl")


def test_topics_need_urls():
    with pytest.raises(ValueError, match="news_to_sports goes by the articles' URLs, and the article 3512"):
        load_data(*arguments("xsum"), "data.split=news_to_sports")


def test_all_that_is_at_hand_is_tested():
    assert {"e2e", *SIZES} == set(AT_HAND)
