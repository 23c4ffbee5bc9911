"""The formats: LaTeX that compiles, a page that opens offline and sorts, JSON and Markdown that say the same."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from peft_cli.report.document import Cell, Figure, Grid, Section, cells
from peft_cli.report.formats import formats, render
from peft_cli.report.formats.html import LARGEST
from peft_cli.report.formats.latex import escape

NASTY = "50 % of A_B & C#1 {x} $y$ ~ ^ \\ | <b> \u00b1 3 \u2248 \u00b7 \u00e9 \u4e2d `a_b|c`"
PNG = b"\x89PNG\r\n"
ROWS = [[Cell("pt"), Cell("9.5", 9.5)], [Cell("a|b"), Cell("10.2", 10.2, True)], [Cell("ft"), Cell("-")]]
GRID = Grid(["method", "bleu"], ROWS, "a caption", [NASTY])
SECTION = Section(NASTY, [GRID], ["a note"], [])
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
LATEX = next(filter(None, map(shutil.which, ("pdflatex", "tectonic"))), None)


class Tables(HTMLParser):
    """The cells of a page, and every address in it."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.addresses, self.is_cell = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.is_cell = tag in ("td", "th", "b", "button") or (self.is_cell and tag != "tr")
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        self.is_cell = self.is_cell and tag not in ("td", "th", "tr")

    def handle_data(self, data):
        if self.is_cell:
            self.rows[-1].append(data)


@pytest.mark.parametrize("name", formats())
def test_every_format_writes_whatever_stands_in_a_cell(name):
    assert render(name, [SECTION], []).endswith("\n")


def test_markdown_escapes_what_ends_a_cell_and_makes_significance_bold():
    text = render("markdown", [SECTION], [])
    assert re.search(r"^\| a\\\|b +\| \*\*10\.2\*\* \|$", text, re.MULTILINE) and "### a caption" in text


def test_the_terminal_marks_significance_and_cuts_nothing():
    wide = Grid([f"column {i}" for i in range(40)], [cells([10.0 + i for i in range(40)])])
    text = render("terminal", [Section("wide", [wide]), SECTION], [])
    assert "49.0" in text and "10.2 *" in text and "\u2026" not in text


def test_json_has_the_numbers_behind_the_cells():
    [section] = json.loads(render("json", [SECTION], []))["sections"]
    assert section["tables"][0]["rows"][1][1] == {"text": "10.2", "value": 10.2, "significant": True}


def test_the_page_needs_no_network():
    page = render("html", [Section("s", [GRID], figures=[Figure("f", "a figure", b"", PNG)])], [])
    addresses = Tables(page).addresses
    assert addresses and all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert "@import" not in page and "url(" not in page


def test_the_page_has_at_most_two_megabytes():
    figures = [Figure(f"figure{i}", "", b"", bytes(700_000)) for i in range(3)]
    page = render("html", [Section("s", figures=figures)], [])
    assert len(page.encode()) <= LARGEST and "figure2 is left out" in page


def test_a_page_of_many_sections_keeps_its_figures():
    large = [Section(f"section {i}", [Grid(["a"], [cells(["x" * 9_000])])]) for i in range(400)]
    page = render("html", [*large, Section("s", figures=[Figure("f", "a figure " * 500, b"", bytes(300_000))])], [])
    assert len(page.encode()) <= LARGEST and "left out" in page and 'alt="a figure a' in page


def test_sections_that_do_not_fit_the_page_are_named():
    large = [Section(f"section {i}", [Grid(["a"], [cells(["x" * 900_000])])]) for i in range(3)]
    page = render("html", [*large, SECTION], [])
    assert len(page.encode()) <= LARGEST and page.count("left out: a page has at most 2 MB") == 1
    assert page.count("x" * 900_000) == 2 and "section 2</h2>\n<p>left out" in page and "a caption" in page


def test_the_page_shows_what_stands_in_a_cell():
    rows = Tables(render("html", [SECTION], [])).rows
    assert rows == [["method", "bleu"], ["pt", "9.5"], ["a|b", "10.2"], ["ft", "-"]]
    assert "<b>" not in render("html", [Section("<b>")], []).replace("<b>10.2</b>", "")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node is installed to run the page's script")
def test_rows_are_ordered_by_number_and_absent_ones_come_last():
    script = render("html", [], []).partition("<script>")[2].partition("</script>")[0]
    rows = "[['pt', '9.5'], ['lora', '10.2'], ['ft', null], ['ia3', '-3']]"
    program = (
        f"const document = {{ addEventListener() {{}} }};\n{script}\n"
        f"const rows = {rows}.map(([name, value]) => ({{ cells: [{{ dataset: {{}}, textContent: name }},"
        " { dataset: value === null ? {} : { v: value }, textContent: '' }] }));\n"
        "const order = (i, way) =>"
        " rows.slice().sort((a, b) => compare(a, b, i, way)).map(r => r.cells[0].textContent);\n"
        "console.log(JSON.stringify([order(1, 1), order(1, -1), order(0, 1)]));"
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        ["ia3", "pt", "lora", "ft"], ["lora", "pt", "ia3", "ft"], ["ft", "ia3", "lora", "pt"]]  # fmt: skip


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed to open the page")
@pytest.mark.parametrize(("clicks", "expected"), [(1, ["pt", "a|b", "ft"]), (2, ["a|b", "pt", "ft"])])
def test_a_click_sorts_in_a_browser(tmp_path, clicks, expected):
    click = "<script>" + "document.querySelectorAll('th button')[1].click();" * clicks + "</script></html>"
    path = tmp_path / "report.html"
    path.write_text(render("html", [SECTION], []).replace("</html>", click), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    done = subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=60)
    assert [row[0] for row in Tables(done.stdout).rows[1:]] == expected


def test_latex_leaves_no_special_character_alone():
    text = escape(NASTY.replace("`a_b|c`", ""))
    assert not re.search(r"(?<!\\)[&%#_]", text) and text.isascii() is False and "U+4E2D" in text


def test_latex_tables_are_booktabs_and_balanced():
    text = render("latex", [SECTION], [])
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    opened, closed = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert sorted(opened) == sorted(closed)
    lines = [line for line in text.splitlines() if line.endswith(r"\tabularnewline")]
    assert [line.count(" & ") for line in lines] == [1] * 4
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace("\\\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


def test_a_long_table_is_cut_into_pages():
    text = render("latex", [Section("s", [Grid(["a", "b"], [cells(["x", i]) for i in range(90)], "long")])], [])
    assert text.count(r"\toprule") == 3 and text.count("(continued)") == 2 and text.count(r"\tabularnewline") == 93


@pytest.mark.skipif(LATEX is None, reason="no pdflatex or tectonic is installed to compile the document")
def test_latex_compiles(tmp_path):
    (tmp_path / "report.tex").write_text(render("latex", [SECTION], []), encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in LATEX else []
    done = subprocess.run([LATEX, *options, "report.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and (tmp_path / "report.pdf").exists(), done.stdout
