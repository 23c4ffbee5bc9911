from hypothesis import given
from hypothesis import strategies as st

from peft_cli.data.reading.triples import Entry, entry_examples, linearise, text_examples

PART = st.text(st.characters(exclude_characters=":|", exclude_categories=["Cs"]), min_size=1).filter(str.strip)
TRIPLES = st.lists(st.tuples(PART, PART, PART), min_size=1, max_size=5)


@given(triples=TRIPLES, leading_bar=st.booleans())
def test_a_line_gives_its_triples_back(triples, leading_bar):
    line = linearise(triples, leading_bar)
    assert line.startswith("| ") == leading_bar or triples[0][0].startswith("| ")
    bare = line.removeprefix("| ") if leading_bar else line
    assert [tuple(triple.split(" : ")) for triple in bare.split(" | ")] == triples


def test_every_text_trains_and_all_texts_of_an_entry_judge():
    entries = [Entry([("A", "b", "C")], ["One.", "Two."], "seen"), Entry([("D", "e", "F")], []), Entry([], ["", "X"])]
    assert [(e.id, e.references) for e in text_examples(entries)] == [
        ("train-0", ("One.",)), ("train-1", ("Two.",)), ("train-2", ("",)), ("train-3", ("X",)),
    ]  # fmt: skip
    tested = [(e.id, e.references, e.subset) for e in entry_examples(entries, "test")]
    assert tested == [("test-0", ("One.", "Two."), "seen"), ("test-2", ("X",), None)]
