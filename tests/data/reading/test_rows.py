"""The reader of rows: what it keeps, what it refuses with file and line, and how quick it is."""

import csv
import gzip
import io
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peft_cli.data.reading.rows import Row, read_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=30)
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n\t"), max_size=30)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=8)
quick = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def cells(rows: list[Row]) -> list[tuple]:
    return [tuple(row.cells.values()) for row in rows]


@quick
@given(rows=ROWS)
def test_a_csv_file_gives_back_quotes_commas_line_breaks_and_unicode(folder, rows):
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    (folder / "x.csv").write_bytes(text.getvalue().encode())
    assert cells(read_rows(folder / "x.csv")) == rows


@quick
@given(rows=ROWS, is_ascii=st.booleans())
def test_a_jsonl_file_gives_back_every_text(folder, rows, is_ascii):
    lines = [json.dumps({"a": a, "b": b}, ensure_ascii=is_ascii) for a, b in rows]
    (folder / "x.jsonl").write_bytes("\n".join(lines).encode())
    assert cells(read_rows(folder / "x.jsonl")) == rows


@quick
@given(rows=st.lists(st.tuples(LINE, LINE.filter(bool)), max_size=8))
def test_a_tsv_file_takes_quotes_as_text(folder, rows):
    (folder / "x.tsv").write_bytes("\r\n".join(["a\tb", *map("\t".join, rows)]).encode())
    assert cells(read_rows(folder / "x.tsv")) == rows


@quick
@given(rows=st.lists(st.tuples(LINE.filter(lambda text: text.strip(" ") and text[0] != "\ufeff"), LINE), max_size=8))
def test_lines_are_numbered_from_the_top_of_the_file_with_blank_ones(folder, rows):
    lines = [json.dumps({"a": a}) for a, _ in rows]
    (folder / "x.jsonl.gz").write_bytes(gzip.compress("\n\n".join(lines).encode()))
    assert [row.line for row in read_rows(folder / "x.jsonl.gz")] == list(range(1, 2 * len(rows), 2))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    for name, text in (("x.csv", "a,b\n1,2\n"), ("x.tsv", "a\tb\n1\t2\n")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_rows(tmp_path / name)[0].cells == {"a": "1", "b": "2"}


def test_a_file_of_labelled_lines_has_the_label_before_the_first_space(tmp_path):
    (tmp_path / "mr.all").write_bytes("0 caf\xe9 is closed\n1 fine\n".encode("latin-1"))
    rows = read_rows(tmp_path / "mr.all", ["label", "sentence"], "latin-1")
    assert cells(rows) == [("0", "café is closed"), ("1", "fine")]


BAD = [
    ("x.jsonl", b'{"a": 1}\n{"a": \n', "x.jsonl, line 2: no JSON (Expecting value at column 7)"),
    ("x.jsonl", b'{"a": 1}\n\n[1]\n', "x.jsonl, line 3: the line has to be an object"),
    ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "x.jsonl, line 2: byte 0xff is no utf-8"),
    ("x.tsv", b"a\tb\n1\t2\n1\n", "x.tsv, line 3: 1 columns where there have to be 2"),
    ("x.csv", b'a,b\n"1\n2",3\n4,5,6\n', "x.csv, line 4: 3 columns where there have to be 2"),
    ("x.csv", b'a,b\n1,2\n"3,4\n', "x.csv, line 3: no csv (unexpected end of data)"),
    ("x.csv", b"a,b\n1,2\n\xff,4\n", "x.csv, line 3: byte 0xff is no utf-8"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), BAD)
def test_a_broken_line_is_one_sentence_with_file_and_line(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_rows(tmp_path / name)
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "content", "sentence"), BAD)
def test_a_broken_line_is_left_out_where_it_may_be(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    told = []
    assert len(read_rows(tmp_path / name, refuse=told.append)) == 1 and sentence in told[0] and len(told) == 1


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_100_000_lines_take_under_two_seconds(tmp_path, suffix):
    line = {
        "csv": '"a, ""quoted"" text {}",b\n',
        "tsv": "a text {}\tb\n",
        "jsonl": '{{"source": "{}", "target": "b"}}\n',
    }
    head = {"csv": "source,target\n", "tsv": "source\ttarget\n", "jsonl": ""}
    (tmp_path / f"x.{suffix}").write_text(head[suffix] + "".join(line[suffix].format(i) for i in range(100_000)))
    start = time.process_time()
    assert len(read_rows(tmp_path / f"x.{suffix}")) == 100_000
    assert time.process_time() - start < 2
