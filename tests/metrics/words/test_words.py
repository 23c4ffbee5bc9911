import pytest

from peft_cli.metrics.protocols import Protocol, load_protocol
from peft_cli.metrics.words import jars, split_words
from peft_cli.metrics.words.like_ptb import like_ptb
from peft_cli.metrics.words.ptb import ptb

needs_java = pytest.mark.skipif(jars.missing_packages() is not None, reason="needs the extra nlg-java")


@needs_java
def test_words_of_the_program_equal_the_official_ones(golden, texts):
    tokens = golden["e2e"]["ptb_tokens"]
    flat = [*texts[0], *(ref for refs in texts[1] for ref in refs)]
    assert [" ".join(words) for words in ptb(flat)] == [
        *tokens["hyps"],
        *(ref for refs in tokens["refs"] for ref in refs),
    ]


def test_words_without_java_are_the_official_ones_here(golden, texts):
    found = [" ".join(like_ptb(text)) for text in texts[0]]
    assert found == golden["e2e"]["ptb_tokens"]["hyps"]


@needs_java
def test_words_without_java_differ_in_one_reference_of_seven_hundred(e2e_rows):
    refs = [" ".join(ref.split()) for (ref,) in e2e_rows("testset_w_refs.csv")[1]]
    assert sum(a != like_ptb(ref) for a, ref in zip(ptb(refs), refs, strict=True)) <= len(refs) / 700


@needs_java
def test_texts_without_a_word_keep_their_places():
    assert ptb(["", "a b", "\u200b", "", ".", "c"]) == [[], ["a", "b"], [], [], [], ["c"]]


def test_a_program_that_writes_too_few_lines_is_refused(monkeypatch):
    monkeypatch.setattr("peft_cli.metrics.words.ptb.run_java", lambda *arguments, text: "a\n")
    with pytest.raises(ChildProcessError, match="PTBTokenizer wrote 1 lines for 2 texts"):
        ptb(["a", "b"])


@pytest.mark.parametrize(
    ("protocol", "words", "name"),
    [
        ("webnlg2017", ["It", "isn't", "far", "."], "spaces"),
        ("webnlg2020", ["It", "is", "n't", "far", "."], "nltk"),
        ("e2e", ["it", "is", "n't", "far"], "py"),
    ],
)
def test_a_protocol_has_words_of_its_own_and_their_name(without_java, protocol, words, name):
    assert split_words(["It isn't far ."], [["a", "b"]], load_protocol(protocol)) == ([words], [[["a"], ["b"]]], name)


@pytest.mark.parametrize("how", ["ptb", "nltk", "spaces"])
def test_no_line_break_moves_a_word_into_another_item(how):
    texts, refs = ["a\rb", "c\u2028d\u0085e", ""], [["x\ny"], ["z", "u\x0bv"], ["w"]]
    words = split_words(texts, refs, Protocol("p", metrics=(), words=how))
    assert words[:2] == ([["a", "b"], ["c", "d", "e"], []], [[["x", "y"]], [["z"], ["u", "v"]], [["w"]]])


@needs_java
def test_a_program_that_fails_is_an_error_of_its_own():
    with pytest.raises(ChildProcessError, match="failed"):
        jars.run_java("-jar", "absent.jar")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't far; they've £20-25 menus.", "it is n't far they 've # 20-25 menus"),
        ("You cannot miss St. Anne's (1,149.5 m)!", "you can not miss st. anne 's 1,149.5 m"),
        ("", ""),
    ],
)
def test_like_ptb(text, words):
    assert " ".join(like_ptb(text)) == words
