"""The map and bars of a sweep with matplotlib, and what is refused."""

from typing import Any

import pandas as pd
import pytest
from support import sweeps

from planner import plot
from planner.base.errors import InputError, UnknownNameError
from planner.report.charts.records import number_text
from planner.report.sweep_axes import grid
from planner.report.view.sweep_charts import BY_NAME, heat_map
from planner.report.view.sweep_words import sweep_phrases
from planner.sweeping.sweep import frame


def table() -> pd.DataFrame:
    return frame(sweeps.grid())


@pytest.mark.parametrize("measure", ["rate", "usd", "tpot"])
def test_the_map_is_that_of_the_page(measure: str) -> None:
    columns = sweeps.grid()
    found = grid(columns)
    chart = heat_map(sweep_phrases("en"), columns, found, found.views[0], BY_NAME[measure])
    axes = plot.sweep(table(), measure=measure)
    assert [text.get_text() for text in axes.texts] == [c.text for row in chart.cells for c in row]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [
        cell.value is None for row in chart.cells for cell in row
    ]
    assert axes.get_title(loc="left") == chart.title
    assert chart.unit in axes.get_xlabel()


def test_views_are_the_values_of_what_is_neither_row_nor_column() -> None:
    wide = frame(sweeps.contexts())
    first, second = (plot.sweep(wide, view=n) for n in range(2))
    assert first.get_title(loc="left") != second.get_title(loc="left")
    with pytest.raises(InputError, match="view 99 is not one of 0 to"):
        plot.sweep(wide, view=99)


def test_where_one_thing_varies_it_is_bars() -> None:
    one = table().iloc[:2]
    axes = plot.sweep(one)
    rates = [number_text(v) for v in one["output_tokens_per_second_per_device"]]
    assert rates == [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.drop(columns=["limit"]), "no column limit"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.head(1), "nothing varies"),
        (lambda f: f.assign(usd_per_million_output_tokens=pd.NA), "no row .* has a value of usd"),
    ],
)
def test_another_frame_is_refused(change: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        plot.sweep(change(table()), measure="usd")


def test_measures_are_named() -> None:
    with pytest.raises(UnknownNameError, match="speed"):
        plot.sweep(table(), measure="speed")
