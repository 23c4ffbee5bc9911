"""The files that `peft-score` reads: what ends a line, and what is refused with file and line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peft_cli.cli.score import main, read_files, read_texts, run_choices
from peft_cli.metrics import score
from tests.cli.test_score import REFERENCES, ROWS, TEXTS, printed, refusal, write

FEW = settings(max_examples=60, deadline=None)


def score_lines(folder: Path, content: bytes, capsys) -> str:
    """The BLEU that is printed for a text file of predictions."""
    path = folder / "system.txt"
    path.write_bytes(content)
    rows = write(folder / "rows.jsonl", ROWS)
    assert main([str(path), "--references", str(rows), "--metrics", "bleu", "--protocol", "plain"]) == 0
    return printed(capsys)["bleu"]


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"{text}\n" for text in TEXTS).encode(),
        "".join(f"{text}\r\n" for text in TEXTS).encode(),
        "\ufeff".encode() + "".join(f"{text}\n" for text in TEXTS).encode(),
        "".join(f"{text}\n" for text in TEXTS).replace("pub ", "pub\r").encode(),
        "".join(f"{text}\n" for text in TEXTS).replace("pub ", "pub\x0b\x0c\x1c\x85\u2028\u2029").encode(),
    ],
    ids=["newline", "carriage return and newline", "byte-order mark", "lone carriage return", "other separators"],
)
def test_only_newlines_end_a_line_and_a_byte_order_mark_is_no_text(tmp_path, capsys, content):
    assert score_lines(tmp_path, content, capsys) == f"{score(['bleu'], TEXTS, REFERENCES).values['bleu']:.4f}"


def test_a_file_that_lacks_a_line_is_refused_even_with_a_lone_carriage_return(tmp_path, capsys):
    (tmp_path / "system.txt").write_bytes(b"A pub\rby the river.\nCheap food\n")
    rows = write(tmp_path / "rows.jsonl", ROWS)
    shown = refusal(capsys, [str(tmp_path / "system.txt"), "--references", str(rows)])
    assert "has 2 predictions and" in shown and "has 3 rows; each row needs one" in shown


def test_a_jsonl_file_of_predictions_takes_the_references_of_another_in_order(tmp_path, capsys):
    rows = write(tmp_path / "rows.jsonl", [{"references": refs} for refs in REFERENCES])
    path = write(tmp_path / "system.jsonl", [{"prediction": text} for text in TEXTS])
    assert main([str(path), "--references", str(rows), "--metrics", "bleu"]) == 0
    assert printed(capsys)["bleu"] == f"{score(['bleu'], TEXTS, REFERENCES).values['bleu']:.4f}"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
LINE = TEXT.map(lambda text: text.replace("\n", "").strip("\r\ufeff"))  # the rest of what Unicode has ends no line


@FEW
@given(lines=st.lists(LINE, max_size=6), end=st.sampled_from(["\n", "\r\n"]), is_ended=st.booleans())
def test_what_was_written_in_lines_is_read_back(tmp_path_factory, lines, end, is_ended):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    last = end if is_ended or (lines and not lines[-1]) else ""
    path.write_bytes((end.join(lines) + (last if lines else "")).encode())
    assert list(read_texts(path)) == lines


@FEW
@given(texts=st.lists(TEXT, min_size=1), ascii=...)
def test_what_was_written_in_rows_is_read_back(tmp_path_factory, texts, ascii: bool):
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    rows = ({"source": text, "prediction": text, "references": [text, text]} for text in texts)
    path.write_text("".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows), "utf-8", newline="")
    read = read_files(path, None)
    assert read.predictions == [example.source for example in read.examples] == texts
    assert [example.references for example in read.examples] == [(text, text) for text in texts]


@FEW
@given(content=st.binary(max_size=80), name=st.sampled_from(["a.jsonl", "a.txt", "a.jsonl.gz", "a.txt.xz"]))
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / name).write_bytes(content)
    for references in (None, write(folder / "rows.jsonl", ROWS)):
        try:
            read = read_files(folder / name, references)
        except ValueError as error:
            assert str(folder) in str(error) and "\n" not in str(error)
        else:
            assert len(read.predictions) == len(read.examples)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"prediction": "a", "references": ["b"]}\n{', "line 2: no JSON"),
        (b'{"prediction": "a"}\n', "line 1: no references; they have to be a list of texts"),
        (b'\n{"prediction": "a", "references": [1]}\n', "line 2: no references; they have to be a list of texts"),
        (b'{"prediction": 3, "references": ["b"]}', "line 1: no text under prediction; the row has prediction, ref"),
        (b'{"source": 3, "prediction": "", "references": ["b"]}', "line 1: no text under source; the row has source"),
        (b'{"prediction": "\\ud800", "references": ["b"]}', "line 1: a NUL or half of a surrogate pair"),
        (b'{"prediction": "a", "references": ["\\u0000"]}', "line 1: a NUL or half of a surrogate pair"),
        (b'{"id": "\\udfff", "prediction": "a", "references": ["b"]}', "line 1: a NUL or half of a surrogate pair"),
        (b'{"prediction": "a", "references": ["b"], "x": NaN}', "line 1: no JSON that can be read (NaN is no value)"),
        (b'{"prediction": "a", "prediction": "b"}', "line 1: no JSON that can be read (the key 'prediction' occurs"),
        (b"[" * 100_000, "line 1: no JSON that can be read"),
        (b'{"prediction": "\xff", "references": ["b"]}', "line 1: byte 0xff is no utf-8\n"),
        (b'{"prediction": "\0", "references": ["b"]}', "line 1: bytes that no text has\n"),
        (b'{"prediction": "' + b"a" * 10_000_001 + b'"}', "line 1: longer than 10,000,000 bytes"),
        (b'{"prediction": "a", "references": ["b"]}\n{"source": "s", "prediction": "a", "references": ["b"]}',
         "has a source in 1 of its 2 rows; give one to all or none"),
        (b"\n", "has no rows"),
        (b"", "has no rows"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_scored_is_named_by_file_and_line(tmp_path, capsys, content, sentence):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    shown = refusal(capsys, [str(path), "--out", str(tmp_path / "out"), "--data", "x"])
    assert str(path) in shown and sentence in shown and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb\xffc\n", "line 2: byte 0xff is no utf-8\n"),
        (b"a\n\0\n", "line 2: bytes that no text has\n"),
        ("\ufeffa".encode("utf-16"), "line 1: bytes that no text has\n"),
        (b"a\n" + b"b" * 10_000_001 + b"\nc\n", "line 2: longer than 10,000,000 bytes"),
    ],
)
def test_a_line_that_is_no_text_is_named_by_file_and_line(tmp_path, capsys, content, sentence):
    path = tmp_path / "a; b, line 3.txt"
    path.write_bytes(content)
    shown = refusal(capsys, [str(path), "--references", str(write(tmp_path / "rows.jsonl", ROWS))])
    assert f"{path}, {sentence}" in shown


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda own: st.lists(own))
RESULTS = st.fixed_dictionaries(
    {}, optional={"run": JSON | st.fixed_dictionaries({"data": JSON}), "scored": st.dictionaries(st.text(), JSON)}
)


@FEW
@given(content=st.binary(max_size=80) | (RESULTS | JSON).map(json.dumps).map(str.encode))
def test_any_result_beside_the_predictions_names_a_run_or_is_refused_in_one_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    (folder / "result.json").write_bytes(content)
    try:
        protocol, data = run_choices(folder / "predictions.jsonl")
    except ValueError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    else:
        assert isinstance(protocol, str) and isinstance(data, str)
