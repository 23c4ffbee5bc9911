"""What holds for every metric and protocol, whatever the texts are."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peft_cli.metrics import score
from tests.metrics.protocols.test_protocols import NAMES
from tests.metrics.test_metrics import QUICK

WORD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["a", "pub", "1", "<skipped>", "\u200b", "É"]),
)
TEXT = st.lists(WORD, max_size=6).map(" ".join)
ITEMS = st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=4), st.sampled_from("st")), min_size=1, max_size=5)
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SPACE = st.text(st.sampled_from(" \t\r\n\x0b\x0c\x1c\x85\xa0\u2028\u3000"), min_size=1, max_size=3)


@pytest.mark.parametrize("protocol", NAMES)
@FEW
@given(items=ITEMS)
def test_any_texts_have_finite_scores_or_a_reason(protocol, without_java, items):
    predictions, references, sources = map(list, zip(*items, strict=True))
    scores = score(QUICK, predictions, references, protocol, sources, ["a", "pub"])
    for name, value in scores.values.items():
        assert value is None or math.isfinite(value), name
    assert {name for name, value in scores.values.items() if value is None} == set(scores.reasons)
    assert len(scores.examples) == len(items)


@pytest.mark.parametrize("protocol", [name for name in NAMES if name != "xsum"])  # that keeps lines
@FEW
@given(texts=st.lists(st.tuples(TEXT, SPACE), min_size=1, max_size=4))
def test_white_space_changes_no_score(protocol, without_java, texts):
    predictions, references = [text for text, _ in texts], [["a pub 1"]] * len(texts)
    spaced = [space + space.join(text.split()) + space for text, space in texts]
    assert score(QUICK, spaced, references, protocol) == score(QUICK, predictions, references, protocol)
