"""The drawer of pages: marks lie in their axes, rows hold their names, moved marks stay inside."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import planner
from planner.quality.sensitivity.alpha_table import alpha_table
from planner.report.charts.chart import (
    Bars,
    Chart,
    ChartAxis,
    Interval,
    PointMarks,
    ShadedBand,
    ValueLine,
    Words,
    named_rows,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.layout import spread
from planner.report.charts.loss_map import loss_map_of_table

X = ChartAxis("cost [USD]", ends=(0.0, 10.0), ticks=((0.0, "0"), (5.0, "5"), (10.0, "10")))
UP = ChartAxis("rate [1/s]", "log", (1.0, 100.0), ((1.0, "1"), (10.0, "10"), (100.0, "100")))


def tree(*marks: object, y: ChartAxis = UP, x: ChartAxis = X) -> ElementTree.Element:
    chart = Chart("t", x, y, marks, "what is seen", (8.0, 4.0), grid="both", kind="k")  # type: ignore[arg-type]
    return ElementTree.fromstring(drawn(chart))


def of(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if kind in e.get("class", "").split()]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name])


def test_values_beyond_the_axis_are_held_at_its_ends() -> None:
    inside, below, above = (
        number(of(tree(PointMarks(((x, 10.0),), "", kind="a")), "a")[0], "cx")
        for x in (10.0, -3.0, 1e9)
    )
    assert above == inside > below
    assert below == number(of(tree(PointMarks(((0.0, 10.0),), "", kind="a")), "a")[0], "cx")


def test_on_a_logarithm_equal_ratios_are_equally_far() -> None:
    root = tree(PointMarks(((1.0, 1.0), (2.0, 10.0), (3.0, 100.0)), "", kind="a", line="step"))
    first, second, third = (number(e, "cy") for e in of(root, "dot"))
    assert first - second == pytest.approx(second - third, abs=0.11)
    assert first > third, "more is higher"
    (line,) = (e for e in of(root, "a") if e.tag == "path")
    corners = [tuple(map(float, at)) for at in re.findall(r"([\d.]+) ([\d.]+)", line.attrib["d"])]
    assert len(corners) == 5
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))


def test_a_loss_of_zero_lies_left_of_the_least_other() -> None:
    axis = ChartAxis("loss [nats]", "symlog", (-0.01, 1.0), ((0.0, "0"), (0.1, "0.1")), 0.1)
    root = tree(PointMarks(((0.0, 10.0), (0.1, 10.0), (1.0, 10.0)), "", kind="a"), x=axis)
    places = [number(e, "cx") for e in of(root, "a")]
    assert places == sorted(set(places))


def test_lines_bands_and_bars_lie_at_their_values() -> None:
    marks = [
        ValueLine(5.0, kind="limit"),
        ValueLine(10.0, across=True, kind="level"),
        ShadedBand(2.5, 5.0, "", kind="band"),
        Interval(5.0, 1.0, 10.0, upright=True, kind="span"),
        PointMarks(((5.0, 10.0),), "", kind="a", tips=("told <&>",)),
    ]
    root = tree(*marks)
    (mark,), (limit,), (level,), (band,), (span,) = (
        of(root, kind) for kind in ("a", "limit", "level", "band", "span")
    )
    assert number(limit, "x1") == number(limit, "x2") == number(mark, "cx")
    assert number(level, "y1") == number(level, "y2") == number(mark, "cy")
    end = number(band, "x") + number(band, "width")
    assert end == pytest.approx(number(mark, "cx"), abs=0.11)
    assert number(span, "y2") == number(mark, "cy") < number(span, "y1")
    assert mark[0].text == "told <&>"


def test_rows_are_as_high_as_their_names_and_hold_their_bars() -> None:
    names = ["short", "a name that is much longer than the widest column of names", "end\nnote"]
    bars = tuple((float(n), 0.0, 1.0 + n) for n in range(3))
    tips = ("a", "b", "c")
    root = tree(Bars(bars, "", kind="bar", tips=tips), y=named_rows(names))
    shown = [number(e, "y") for e in (*of(root, "name"), *of(root, "note")) if e.text != X.label]
    assert len(shown) == 6, "the second name takes three lines, the third has a note"
    assert all(b - a >= 14.9 for a, b in pairwise(sorted(shown)))
    boxes = of(root, "bar")
    assert [box[0].text for box in boxes] == list(tips)
    middles = [number(box, "y") + number(box, "height") / 2 for box in boxes]
    assert middles[0] == pytest.approx(shown[0] - 4.5, abs=0.2)
    assert middles == sorted(middles)
    widths = [number(box, "width") for box in boxes]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)


def test_words_that_do_not_fit_are_cut_and_labels_move_apart() -> None:
    root = tree(
        Words(9.0, 10.0, "more than there is room for at the right", kind="cut"),
        *(Words(1.0, 10.0, f"label {n}", offset=(7, -3), beside=True, kind="l") for n in range(3)),
    )
    assert (of(root, "cut")[0].text or "").endswith("…")
    heights = sorted(number(e, "y") for e in of(root, "l"))
    assert all(b - a >= 13 for a, b in pairwise(heights))


def test_a_scale_of_colours_is_for_the_other_drawer() -> None:
    with pytest.raises(NotImplementedError):
        drawn(loss_map_of_table(alpha_table(planner.load_model("gpt2"))))


PLACES = st.lists(st.tuples(st.floats(60, 700), st.floats(30, 380)), min_size=1, max_size=12)


@settings(max_examples=examples(40, 400), deadline=None)
@given(PLACES)
def test_moved_marks_go_right_and_down_and_stay_inside(places: list[tuple[float, float]]) -> None:
    moved = spread(places, 8.0, 744.0, 394.0)
    for (x0, y0), (x, y) in zip(places, moved, strict=True):
        assert x0 <= x <= 736.0
        assert y0 <= y <= 386.0
    assert spread([(100.0, 100.0), (300.0, 100.0)], 8.0, 744.0, 394.0) == [(100, 100), (300, 100)]


def test_marks_at_one_place_no_longer_cover_each_other() -> None:
    (x0, y0), (x1, y1) = spread([(100.0, 100.0)] * 2, 8.0, 744.0, 394.0)
    assert (x0 - x1) ** 2 + (y0 - y1) ** 2 > 15.0**2
