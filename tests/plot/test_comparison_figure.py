"""Schemes side by side as a picture: the rates of the page, with their intervals."""

from dataclasses import replace

import pytest
from support.comparisons import compared

from planner import plot
from planner.base.errors import InputError
from planner.report.charts.compared import LANGUAGE_FOLDER, compared_panels
from planner.report.phrases import phrases


def test_every_row_of_the_page_is_a_dot_on_its_interval() -> None:
    found = compared()
    axes = plot.compare(found)
    chart = compared_panels(found, phrases("en", LANGUAGE_FOLDER))
    rows = [row for panel in chart.panels for row in panel.rows]
    lines = [list(line.get_xdata()) for line in axes.lines]
    assert sorted(x for (x,) in (one for one in lines if len(one) == 1)) == sorted(
        row.value for row in rows
    )
    assert sorted(one for one in lines if len(one) == 2) == sorted(
        [row.low, row.high] for row in rows
    )
    assert "tokens/s" in axes.get_xlabel()
    assert found.plot().get_xlabel() == axes.get_xlabel()


def test_rate_against_loss_has_every_row_with_both_intervals() -> None:
    found = compared()
    able = [row for row in found.rows if row.feasible]
    axes = plot.compare(found, by="loss")
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in drawn] == [  # type: ignore[index]
        (row.loss, row.output_tokens_per_second_per_device.value) for row in able
    ]  # type: ignore[union-attr]
    assert len(axes.collections) == 2 * len(able)
    assert [text.get_text() for text in axes.texts] == ["recommended"] * 4
    with pytest.raises(InputError, match="by = 'rate'"):
        plot.compare(found, by="rate")  # type: ignore[arg-type]


def test_a_comparison_in_which_nothing_runs_is_refused() -> None:
    found = compared()
    with pytest.raises(InputError, match="nothing of this comparison runs"):
        plot.compare(replace(found, rows=(found.rows[-1],)))
