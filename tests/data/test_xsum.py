import json

import pytest

from peft_cli.data.xsum import topic_and_section
from tests.data.loading import load_data

URLS = {
    "http://web.archive.org/web/20160101000000/http://www.bbc.co.uk/news/uk-england-35125421": ("news", "uk"),
    "http://www.bbc.co.uk/news/world-europe-1": ("news", "world"),
    "http://www.bbc.com/news/business-2": ("news", "business"),
    "http://www.bbc.co.uk/news/health-3": ("news", "health"),
    "http://www.bbc.co.uk/news/12345": ("news", ""),
    "http://www.bbc.co.uk/sport/football/4": ("sport", "football"),
    "http://www.bbc.co.uk/sport/0/rugby-union/5": ("sport", "rugby"),
    "http://www.bbc.co.uk/programmes/b1": ("", ""),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_tells_topic_and_section(url):
    assert topic_and_section(url) == URLS[url]


@pytest.fixture
def keys(tmp_path):
    rows = [{"document": "A\nB", "summary": "C", "id": str(i), "url": url} for i, url in enumerate(URLS)]
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "data=xsum", f"data.root={tmp_path}", "data.rows=null"


def numbers(examples) -> list[str]:
    return [example.id for example in examples]


def test_news_to_sports_trains_on_news_and_tests_on_sport(keys):
    data = load_data(*keys, "data.split=news_to_sports")
    assert numbers(data.train) == [f"train-{i}" for i in range(5)]
    assert numbers(data.validation) == [f"validation-{i}" for i in range(5)]
    assert numbers(data.test) == ["test-5", "test-6"]


def test_within_news_tests_on_the_smaller_sections(keys):
    data = load_data(*keys, "data.split=within_news")
    assert numbers(data.train) == ["train-0", "train-1", "train-2"] and numbers(data.test) == ["test-3", "test-4"]


def test_an_article_is_one_line(keys):
    assert load_data(*keys).train[0].source == "A B"


def test_an_article_without_a_summary_is_refused(keys, tmp_path):
    (tmp_path / "test.jsonl").write_text('{"document": "A", "summary": "", "id": "1"}\n')
    with pytest.raises(ValueError, match=r"test\.jsonl, line 1: no summary; an article has document, summary and id"):
        load_data(*keys)
