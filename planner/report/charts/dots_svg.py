"""Dot plots with intervals, alone or as small multiples one below another on one axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.report.charts.chart import (
    INK,
    OWN,
    PLAIN,
    RIGHT,
    SOFT,
    Chart,
    Interval,
    Mark,
    MarkGroup,
    PointMarks,
    Words,
    named_rows,
    ticked,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.records import (
    DotPlot,
    DotRow,
    Panels,
    axis_ticks,
    numbers,
    row_in_words,
    row_text,
)

WIDTH = 500.0
"""Pixels of a dot plot on a page."""
SHAPES = {
    "recommended": ("D", OWN, False, 10.0),
    "released": ("s", PLAIN, False, 6.4),
    "uniform": ("o", SOFT, False, 7.0),
    "optimum": ("o", PLAIN, True, 7.0),
    "other": ("o", SOFT, True, 7.0),
}
"""Shape, colour, hollow, size."""


def dot_plot_svg(plot: DotPlot, key: str) -> str:
    """Rows of a name, a dot on its interval and the value."""
    return drawn(dots_chart(plot), key)


def panels_svg(panels: Panels, key: str) -> str:
    """Dot plots one below another on one axis."""
    return drawn(panels_chart(panels), key)


def dots_chart(plot: DotPlot) -> Chart:
    """Rows of a dot on its interval; the value at the right."""
    return _dots(plot.title, plot.alt, (plot,), "chart dots")


def panels_chart(panels: Panels) -> Chart:
    """Dot plots one below another on one axis, each under its name and across its limit."""
    return _dots(panels.title, panels.alt, panels.panels, "chart dots panels")


def _dots(title: str, alt: str, plots: Sequence[DotPlot], kind: str) -> Chart:
    every = [row for plot in plots for row in plot.rows]
    limits = [plot.limit.value for plot in plots if plot.limit is not None]
    first = plots[0] if plots else DotPlot("", "", (), "")
    marks, names, bold = list[Mark | MarkGroup](), list[str](), list[int]()
    for plot in plots:
        if "panels" in kind:
            bold.append(len(names))
            names.append(plot.title)
            marks += _limit(plot, len(names))
        for row in plot.rows:
            if row.mark == "recommended":
                bold.append(len(names))
            marks.append(_row(row, len(names)))
            names.append(f"{row.name}\n{row.note}" if row.note else row.name)
    return Chart(
        title,
        ticked(axis_ticks([*numbers(every), *limits], log=first.log, zero=False), first.x_title),
        named_rows(names, bold=bold),
        tuple(marks),
        alt,
        (7.2, 1.0 + 0.34 * len(names)),
        grid="x",
        kind=kind,
        wide=WIDTH,
    )


def _limit(plot: DotPlot, start: int) -> Iterator[Mark]:
    """A line across the rows of a plot, its words above it beside the name."""
    if plot.limit is not None:
        at, low = plot.limit.value, start + len(plot.rows) - 0.5
        yield Interval(at, start - 0.65, low, OWN, upright=True, kind="limit")
        place = (at, start - 1)
        yield Words(*place, plot.limit.text, 7.5, OWN, "center", "center", kind="limit")


def _row(row: DotRow, y: int) -> MarkGroup:
    shape, colour, hollow, size = SHAPES[row.mark]
    own = row.mark == "recommended"
    ink, marks = colour if own else INK, list[Mark]()
    if row.low is not None and row.high is not None:
        ends = (row.low, row.high)
        marks.append(Interval(y, *ends, colour, 1.4, alpha=0.75, ended=True, kind="span"))
    at, value = ((row.value, y),), row_text(row)
    return MarkGroup(
        (
            *marks,
            PointMarks(at, colour, shape, size, hollow=hollow, rim=1.5, above=True, kind="mark"),
            Words(RIGHT, y, value, 8, ink, up="center", x_of="chart", bold=own, kind="value"),
        ),
        row_in_words(row),
        y,
        kind=f"row {row.mark}",
    )
