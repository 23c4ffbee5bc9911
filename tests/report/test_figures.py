"""The figures: no text lies on other text, a method looks the same everywhere, the same runs make the same bytes."""

from importlib import import_module
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from peft_cli.report import figures
from peft_cli.report.compare import sign
from peft_cli.report.figures import drawn, kinds
from peft_cli.report.figures.panels import logarithmic, panels, side_by_side
from peft_cli.report.figures.parameters import pareto
from peft_cli.report.figures.places import Point, places
from peft_cli.report.figures.shots import MOST_BANDS, shifts
from peft_cli.report.figures.style import COLOURS, DASHES, MARKERS, looks, titled
from peft_cli.report.runs import find
from peft_cli.report.tables import tables
from tests.report.results import METHODS, result, study, write_study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    runs = tmp_path_factory.mktemp("study")
    long = [result("pt", 50, seed, config__method__text="a rather long text to start from") for seed in range(2)]
    write_study(runs, [*study(seeds=range(2)), *long])
    return tables(find([runs]).runs)


@pytest.mark.parametrize("kind", kinds())
def test_no_text_lies_on_other_text(made, kind):
    pictures = list(import_module(f"peft_cli.report.figures.{kind}").draw(made, ["bleu"]))
    assert pictures
    for name, caption, figure in pictures:
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown(figure)]
        width, height = figure.canvas.get_width_height()
        cut = [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1]
        on_top = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.shrunk(0.9, 0.9).overlaps(other)]
        assert len(boxes) > 10 and not cut and not on_top, (name, caption)


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


def test_a_method_looks_the_same_whatever_stands_beside_it():
    alone = looks({"pt": "pt"})["pt"]
    assert looks({name: name for name in METHODS})["pt"] == alone
    assert len({(look.colour, look.marker) for look in looks({name: name for name in METHODS}).values()}) == len(
        METHODS
    )


def test_methods_differ_without_colour():
    found = looks({name: name for name in METHODS}).values()
    assert len({(look.marker, str(look.dash)) for look in found}) == len(METHODS)
    assert len(COLOURS) * len(MARKERS) * len(DASHES) == len({(i % 7, i % 13, i % 5) for i in range(455)})


def test_variants_of_a_method_differ_in_their_fill_alone():
    one, other = looks({"pt (lr=1)": "pt", "pt (lr=2)": "pt"}).values()
    assert one.fill != other.fill and one._replace(fill="") == other._replace(fill="")


def test_the_same_runs_make_the_same_bytes(made):
    [(place,)] = [[place for place in places(made) if "mini" in place.title]]
    one, other = (next(iter(drawn(place.tables[:1], ["bleu"]))).figures for _ in range(2))
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
    assert titled(name) == expected


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
    assert list(factors.values()) == sorted(set(factors.values())) and factors[labels[3]] == 1
    assert max(factors.values()) / min(factors.values()) < 4  # from one number of shots to the next at least
    assert set(shifts(labels[1:], [10, 50, 200]).values()) == {1}


def test_a_share_has_room_below_its_value():
    figure, (axes, _, _) = panels(["a", "b", "c"], {}, bottom=0.6)
    logarithmic(axes, [40, 3_554_304], whole=3_554_304)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100\n0.0028%", "10k\n0.28%", "1M\n28%"]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_of_very_many_runs_few_places_have_figures(monkeypatch, made):
    monkeypatch.setattr(figures, "MANY", 10)
    monkeypatch.setattr(figures, "FEW_PLACES", 1)
    (section,) = drawn(made, ["bleu"], ["wins"])
    assert len(section.figures) == 1 and "of 2 pairs of data and backbone the first 1 (" in section.notes[0]


def test_letters_are_embedded_as_truetype_and_few(made):
    [figure] = next(iter(drawn(made[:1], ["bleu"], ["parameters"]))).figures
    assert b"/CIDFontType2" in figure.pdf and figure.pdf.count(b"/FontFile2") == 1 and b"/Type3" not in figure.pdf
