"""Charts of records with matplotlib: the numbers of the record, named and described."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from support import fleets, sweeps
from support.chart_samples import BARS, DOTS, MAP, PANELS

from planner.plot.axes import alt_of, as_svg
from planner.plot.draw import draw
from planner.report.charts.bars_svg import bars_chart
from planner.report.charts.dots_svg import dots_chart, panels_chart
from planner.report.charts.fleet_svg import limits_chart
from planner.report.charts.heat_svg import SHADES, heat_chart
from planner.report.charts.lines_svg import lines_grid
from planner.report.charts.records import DotRow, levels
from planner.report.view.fleet import VERB
from planner.report.view.sweep_charts import drawing, line_chart
from planner.report.view.sweep_words import sweep_phrases
from planner.report.view.verb_words import verb_phrases
from planner.sizing.fleet.figures import limit_shares

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")


def intervals(ax: Axes) -> list[tuple[float, float]]:
    return [
        (float(x[0]), float(x[1]))
        for x in (np.asarray(one.get_xdata()) for one in ax.lines)
        if len(x) == 2
    ]


def ends(rows: tuple[DotRow, ...]) -> list[tuple[float, float]]:
    return [(row.low, row.high) for row in rows if row.low is not None and row.high is not None]


def test_dots_have_their_values_intervals_and_unit() -> None:
    ax = draw(dots_chart(DOTS))
    assert [
        float(np.asarray(one.get_xdata())[0])
        for one in ax.lines
        if len(np.asarray(one.get_xdata())) == 1
    ] == [row.value for row in DOTS.rows]
    assert intervals(ax) == ends(DOTS.rows)
    assert ax.get_xlabel() == DOTS.x_title
    assert ax.get_title(loc="left") == DOTS.title
    labels = ax.get_yticklabels()
    assert [one.get_text().split("\n")[0] for one in labels] == [row.name for row in DOTS.rows]
    assert [one.get_fontweight() == "bold" for one in labels] == [
        row.mark == "recommended" for row in DOTS.rows
    ]
    assert [
        one.get_marker() == "D" for one in ax.lines if len(np.asarray(one.get_xdata())) == 1
    ] == [row.mark == "recommended" for row in DOTS.rows]


def test_panels_name_their_plots_and_share_the_axis() -> None:
    ax = draw(panels_chart(PANELS))
    assert intervals(ax) == [end for panel in PANELS.panels for end in ends(panel.rows)]
    names = [one.get_text().split("\n")[0] for one in ax.get_yticklabels()]
    assert names == [name for p in PANELS.panels for name in (p.title, *(r.name for r in p.rows))]


def test_cells_have_the_shades_of_the_record() -> None:
    from matplotlib.colors import to_hex

    ax = draw(heat_chart(MAP))
    assert [
        None if patch.get_hatch() else to_hex(patch.get_facecolor()) for patch in ax.patches
    ] == [None if n is None else SHADES[n] for row in levels(MAP) for n in row]
    assert [one.get_text() for one in ax.texts] == [c.text for row in MAP.cells for c in row]
    assert ax.get_xlabel() == f"{MAP.unit}: pale 3.00, dark 0.05"


def test_bars_end_at_their_values() -> None:
    ax = draw(bars_chart(BARS))
    bars = [bar for group in BARS.groups for bar in group.bars]
    lengths = [one.get_width() for one in ax.patches if isinstance(one, Rectangle)]
    assert [one for one in lengths if one] == [b.value for b in bars if b.value is not None]
    assert intervals(ax) == [(bar.low, bar.high) for bar in bars if bar.value is not None]


def test_on_a_logarithm_bars_are_points() -> None:
    ax = draw(bars_chart(replace(BARS, log=True)))
    bars = [bar for group in BARS.groups for bar in group.bars if bar.value is not None]
    assert [
        float(np.asarray(one.get_xdata())[0])
        for one in ax.lines
        if len(np.asarray(one.get_xdata())) == 1
    ] == [bar.value for bar in bars]
    assert not any(p.get_width() for p in ax.patches if isinstance(p, Rectangle))
    assert any("does not fit" in one.get_text() for one in ax.texts)
    assert ax.get_xlabel() == BARS.y_title


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "make",
    [
        partial(draw, dots_chart(DOTS)),
        partial(draw, panels_chart(PANELS)),
        partial(draw, heat_chart(MAP)),
        partial(draw, bars_chart(BARS)),
    ],
)
def test_a_picture_is_named_and_described(make: Callable[[], Axes]) -> None:
    def picture() -> str:
        figure = make().get_figure(root=True)
        assert figure is not None
        return as_svg(figure)

    ax = make()
    text = picture()
    assert 'role="img"' in text
    assert alt_of(ax)
    assert f'-title">{ax.get_title(loc="left")}</title>' in text
    assert f'-desc">{escape(alt_of(ax))}</desc>' in text
    assert text == picture()


def test_panels_of_lines_and_times_beside_limits_are_those_of_the_page() -> None:
    columns = sweeps.contexts()
    plan = drawing(columns)
    assert plan is not None
    lines = line_chart(sweep_phrases("en"), columns, plan)
    for panel, chart in zip(lines.panels, lines_grid(lines).charts, strict=True):
        ax = draw(chart)
        shown = {float(v) for one in ax.lines for v in np.asarray(one.get_ydata())}
        for _, points in panel.lines:
            assert {p.value for p in points if p.value is not None} <= shown
        assert ax.get_title(loc="left") == panel.name
        assert ax.get_xlabel() == lines.x_title
    found = fleets.made()
    ax = draw(limits_chart(verb_phrases(VERB, "en"), found))
    dots = [x for x in (np.asarray(one.get_xdata()) for one in ax.lines) if len(x) == 1]
    assert [float(x[0]) for x in dots] == [share.value for share in limit_shares(found)]
    (limit,) = (one for one in ax.lines if list(np.asarray(one.get_ydata())) == [0, 1])
    assert list(np.asarray(limit.get_xdata())) == [1, 1]
