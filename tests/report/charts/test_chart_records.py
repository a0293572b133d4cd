"""What both ways of drawing a chart take from its record: words, shades, axes."""

from math import log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.report.charts.records import (
    LEVELS,
    Bar,
    DotRow,
    HeatCell,
    HeatMap,
    axis_ticks,
    heat_ends,
    levels,
    number_text,
    row_in_words,
    rows_in_words,
)

MAP = HeatMap(
    "t",
    ("a", "b"),
    ("x", "y"),
    (
        (HeatCell(1.0, "1"), HeatCell(None, "–", "needs more memory")),
        (HeatCell(10.0, "10"), HeatCell(100.0, "100")),
    ),
    "USD",
    "alt",
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-2.5, "-2.50"),
        (0.3, "0.300"),
        (10.0, "10.0"),
        (9.996, "10.0"),
        (999.4, "999"),
        (999.6, "1,000"),
        (3.2e-7, "3.20e-07"),
        (4.5e12, "4.50e+12"),
    ],
)
def test_values_are_written_with_three_figures(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_row_is_told_with_its_interval_and_a_bar_without_a_value_with_its_reason() -> None:
    row = DotRow("fp8", 1400.0, 1200.0, 1700.0, "recommended", "as released")
    assert row_in_words(row) == "fp8: 1,400 (1,200 – 1,700), as released"
    assert row_in_words(DotRow("fp8", 1.5, None, None, "other", text="1.50 ms")) == "fp8: 1.50 ms"
    assert rows_in_words([row, Bar("bf16", None, None, None, "does not fit")]).endswith(
        "; bf16: does not fit"
    )


def test_the_better_the_value_the_stronger_the_shade() -> None:
    assert levels(MAP) == ((0, None), (LEVELS // 2, LEVELS - 1))
    turned = HeatMap(MAP.title, MAP.rows, MAP.columns, MAP.cells, MAP.unit, MAP.alt, better="low")
    assert levels(turned) == ((LEVELS - 1, None), (LEVELS // 2, 0))
    even = HeatMap(MAP.title, MAP.rows, MAP.columns, MAP.cells, MAP.unit, MAP.alt, log=False)
    assert levels(even) == ((0, None), (0, LEVELS - 1))


def test_the_ends_of_a_map_are_the_cells_of_least_and_greatest_value() -> None:
    assert heat_ends(MAP) == (MAP.cells[0][0], MAP.cells[1][1])
    assert heat_ends(HeatMap("t", ("a",), ("x",), ((HeatCell(None, "–"),),), "", "")) is None


VALUES = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=6)


@settings(max_examples=examples(60, 600), deadline=None)
@given(VALUES, st.booleans(), st.booleans())
def test_an_axis_holds_its_values_in_order(values: list[float], log: bool, zero: bool) -> None:
    axis = axis_ticks(values, log=log, zero=zero)
    assert axis.low <= min(values) * (1 + 1e-9)
    assert max(values) * (1 - 1e-9) <= axis.high
    assert 2 <= len(axis.values) <= 13
    assert list(axis.values) == sorted(set(axis.values))
    assert all(axis.low <= v <= axis.high for v in axis.values)
    places = [axis.share(v) for v in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 1
    if zero and not log:
        assert axis.low == 0


def test_places_on_a_logarithm_go_by_ratios() -> None:
    axis = axis_ticks([3.0, 4000.0], log=True, zero=False)
    assert (axis.low, axis.high) == (2.0, 5000.0)
    assert axis.values == (10.0, 100.0, 1000.0)
    assert axis.share(100.0) - axis.share(10.0) == pytest.approx(1 / log10(5000.0 / 2.0))
    assert axis.share(0.0) == 0.0, "what a logarithm cannot show lies at its edge"


def test_a_logarithm_begins_and_ends_near_its_values_with_short_ticks() -> None:
    axis = axis_ticks([36.9, 1607.0], log=True, zero=False)
    assert axis.texts == ("20", "50", "100", "200", "500", "1,000", "2,000")
    assert (axis.low, axis.high) == (20.0, 2000.0)
    assert axis_ticks([0.3, 0.9], log=False, zero=True).texts[:2] == ("0", "0.2")
    assert axis_ticks([2e-6, 9e-6], log=True, zero=False).texts[0] == "2e-06"


def test_an_axis_of_dots_leaves_out_zero_only_where_values_are_far_from_it() -> None:
    assert axis_ticks([900.0, 1000.0], log=False, zero=False).low > 0
    assert axis_ticks([100.0, 1000.0], log=False, zero=False).low == 0
    assert axis_ticks([-5.0, 10.0], log=False, zero=False).low <= -5
