"""The figures: no text lies on other text, a method looks the same everywhere, the same runs make the same bytes."""

import re
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from peft_cli.report import figures
from peft_cli.report.compare import sign
from peft_cli.report.figures import draw_figures, kinds
from peft_cli.report.figures.benchmarks import benchmarks
from peft_cli.report.figures.learning import validations
from peft_cli.report.figures.panels import panels, set_log_axis, side_by_side
from peft_cli.report.figures.parameters import pareto
from peft_cli.report.figures.shots import shifts
from peft_cli.report.figures.style import (
    COLOURS,
    DASHES,
    MARKERS,
    MOST_BANDS,
    N_LOOKS,
    SETTINGS,
    Point,
    assign_looks,
    looks,
    metric_title,
)
from peft_cli.report.folders import find_runs
from peft_cli.report.runs import parse_run
from peft_cli.report.tables import tables
from peft_cli.run_folder.files import one_line
from tests.report.results import METHODS, result, study, write_study

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    runs = tmp_path_factory.mktemp("study")
    long = [result("pt", 50, seed, config__method__text="a rather long text to start from") for seed in range(2)]
    write_study(runs, [*study(seeds=range(2)), *long])
    return tables(find_runs([runs]).runs)


@pytest.mark.parametrize("kind", kinds())
def test_no_text_lies_on_other_text(made, kind):
    with rc_context(SETTINGS):
        check_texts(import_module(f"peft_cli.report.figures.{kind}").draw(made, ["bleu"]))


def check_texts(pictures, may_be_none=False):
    """No text of any picture is cut off, or lies on another."""
    pictures = list(pictures)
    assert pictures or may_be_none
    for name, caption, figure in pictures:
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown(figure)]
        width, height = figure.canvas.get_width_height()
        cut = [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1]
        on_top = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.shrunk(0.9, 0.9).overlaps(other)]
        assert len(boxes) > 4 and not cut and not on_top, (name, caption)


def shown(figure):
    """Every text that is drawn: ticks beyond the ends of an axis are not."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            labels = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            found += [label for place, label in labels if low <= place <= high]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def look_of(methods):
    return looks({name: name for name in methods}, assign_looks(methods))


def test_a_method_looks_the_same_in_every_figure_of_a_report(made):
    seen = [look for benchmark in benchmarks(made) for look in benchmark.looks.items() if "(" not in look[0]]
    assert len({label for label, _ in seen}) == len(set(seen)) and len(seen) > len(set(seen))


def test_a_method_looks_the_same_beside_others_that_do_not_look_like_it():
    alone = {method: look_of([method])[method] for method in METHODS}
    unlike = [name for name in METHODS if not set(alone[name][:3]) & set(alone["pt"][:3])]
    assert unlike and all(look_of(["pt", name])["pt"] == alone["pt"] for name in unlike)


@pytest.mark.parametrize("n", [6, len(COLOURS)])
def test_so_many_methods_differ_in_colour_and_in_marker(n):
    for methods in combinations(METHODS, n):
        found = look_of(methods).values()
        assert len({look.colour for look in found}) == n and len({look.marker for look in found}) == n


def test_more_methods_than_colours_differ_without_colour():
    methods = [*METHODS, "mine", "yours", "prefix_embedding"]
    found = look_of(methods).values()
    assert len({(look.marker, str(look.dash)) for look in found}) == len({*found}) == len(methods)
    sizes = len(COLOURS), len(MARKERS), len(DASHES)
    assert len({tuple(i % n for n in sizes) for i in range(N_LOOKS)}) == N_LOOKS


def test_variants_of_a_method_differ_in_their_fill_alone():
    one, other = looks({"pt (lr=1)": "pt", "pt (lr=2)": "pt"}, {"pt": 3}).values()
    assert one.fill != other.fill and one._replace(fill="") == other._replace(fill="")


def test_the_same_runs_make_the_same_bytes(made):
    tables = next(benchmark.tables for benchmark in benchmarks(made) if "mini" in benchmark.title)
    one, other = (next(iter(draw_figures(tables[:1], ["bleu"]))).figures for _ in range(2))
    assert [(figure.name, figure.png, figure.pdf) for figure in one] == [(f.name, f.png, f.pdf) for f in other]
    assert all(figure.png.startswith(b"\x89PNG") and figure.pdf.startswith(b"%PDF") for figure in one)


def test_the_front_is_what_nothing_with_as_little_stored_beats():
    found = [
        Point(name, x, y, None) for name, x, y in [("a", 1, 5), ("b", 2, 4), ("c", 3, 7), ("d", 3, 6), ("e", 9, 7)]
    ]
    assert [point.label for point in pareto(found, sign("bleu"))] == ["a", "c"]
    assert [point.label for point in pareto(found, sign("ter"))] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bleu", "BLEU"),
        ("rougeL", "ROUGE-L"),
        ("rouge_l", "ROUGE-L"),
        ("bleu_seen", "BLEU seen"),
        ("accuracy", "accuracy"),
    ],
)
def test_metrics_have_the_papers_names(name, expected):
    assert metric_title(name) == expected


def test_equal_costs_stand_side_by_side_around_their_place():
    found = [Point("a", 100, 1, None), Point("b", 100, 2, None), Point("c", 7, 3, None)]
    moved = {point.label: point for point in side_by_side(found)}
    assert moved["a"].x < 100 < moved["b"].x and moved["a"].x * moved["b"].x == pytest.approx(100**2)
    assert moved["c"] == found[2] and [moved[name].y for name in "abc"] == [1, 2, 3]


def test_costs_that_are_nearly_equal_do_too():
    a, b, c = side_by_side([Point("b", 101, 2, None), Point("a", 100, 1, None), Point("c", 150, 3, None)])
    assert b.x / a.x == pytest.approx(1.25) and c.x == 150


def test_the_lines_of_many_methods_stand_side_by_side():
    labels = [f"method {i}" for i in range(MOST_BANDS + 1)]
    factors = shifts(labels, [10, 50, 200])
    assert list(factors.values()) == sorted(set(factors.values()))
    assert factors[labels[0]] * factors[labels[-1]] == pytest.approx(1)
    assert max(factors.values()) / min(factors.values()) < 4  # from one number of shots to the next at least
    assert set(shifts(labels[1:], [10, 50, 200]).values()) == {1}


def test_a_share_has_room_below_its_value():
    with rc_context(SETTINGS):
        figure, (axes, _, _) = panels(["a", "b", "c"], {})
        set_log_axis(axes, [40, 3_554_304], whole=3_554_304)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
    boxes = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100\n0.0028%", "10k\n0.28%", "1M\n28%"]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_of_very_many_runs_few_places_have_figures(monkeypatch, made):
    monkeypatch.setattr(figures, "MANY", 10)
    monkeypatch.setattr(figures, "FEW_BENCHMARKS", 1)
    (section,) = draw_figures(made, ["bleu"], ["wins"])
    assert len(section.figures) == 1 and "of 2 pairs of data and backbone the first 1 (" in section.notes[0]


def test_letters_are_embedded_as_truetype(made):
    [figure] = next(iter(draw_figures(made[:1], ["bleu"], ["parameters"]))).figures
    assert b"/CIDFontType2" in figure.pdf and b"/FontFile2" in figure.pdf and b"/Type3" not in figure.pdf


@pytest.mark.parametrize("scores", [[0.0, 0.0], [0.58, 0.6], [-0.01, 0.0], [1e9, 2e9], [1e-7, 3e-7]])
@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind != "gap"])
def test_labels_have_room_whatever_the_scores(kind, scores):
    results = [result(method, shots, seed, scores={"bleu": scores[seed]})
               for method in ("pt", "ft") for shots in (10, 50) for seed in range(2)]  # fmt: skip
    runs = [parse_run(GOLDEN, made) for made in results]
    check_texts(import_module(f"peft_cli.report.figures.{kind}").draw(tables(runs), ["bleu"]), kind == "learning")


@pytest.mark.parametrize("name", ["$x$", "a $\\frac{ b", "_x", "50 % of {y}", "\u4e2d", "x" * 200, "a\x1b[31mb\nc"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_name_is_drawn_as_it_is(name, made):
    data, names = "$a$ mini $b", {"pt": name, "ft": "ft"}
    results = [result(method, shots, seed, run__data=data, run__method=names[method])
               for method in names for shots in (10, 50) for seed in range(2)]  # fmt: skip
    section = next(iter(draw_figures(tables([parse_run(GOLDEN, made) for made in results]), ["bleu"])))
    assert len(section.figures) == len(kinds()) - 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,130}", figure.name) for figure in section.figures)
    figure, _ = panels(["title"], looks({name: name}, {name: 0}))
    [text] = figure.legends[0].get_texts()
    assert text.get_text().split() == one_line(name).replace("x" * 200, text.get_text()).split()


def test_a_method_that_stores_nothing_is_drawn(made):
    results = [result(method, 10, seed, cost__params_stored=0) for method in ("pt", "ft") for seed in range(2)]
    made = tables([parse_run(GOLDEN, one) for one in results])
    assert next(iter(draw_figures(made, ["bleu"], ["parameters"]))).figures


def test_a_log_that_never_ends_or_is_broken_has_no_curve(tmp_path):
    row = b'{"step": 1, "validation_loss": 2.0}\n'
    for content in (b'{"validation_loss"', b'{"validation_loss": {}, "step": []}\n', b"[1]\n" + b"x" * (2 << 20)):
        (tmp_path / "log.jsonl").write_bytes(row + content)
        assert list(validations(tmp_path / "log.jsonl")) == [(1, 2.0)]
    (tmp_path / "loop").symlink_to("loop")
    assert not list(validations(tmp_path / "loop")) and not list(validations(Path("/dev/zero")))
