"""The plans that were weighed against the recommended one, as a picture."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plot.axes import axes_for
from planner.plot.marks import draw_dots
from planner.report.page.rivals_shown import rivals_shown
from planner.report.phrases import phrases
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.plan.record import Plan

LINE = 84
"""Characters of a line of the note below the axis."""


@typed
def alternatives(plan: Plan, ax: Axes | None = None) -> Axes:
    """The recommended plan beside as released, the best uniform format, the likeliest better plan
    and the exact optimum, with 80 % intervals of the difference: the chart of the report.

    Raises:
        InputError: not a plan, or one beside which nothing was weighed.
    """
    found = rivals_shown(phrases("en"), plan)
    if found is None:
        raise InputError(
            "no other plan was weighed beside this one",
            hint="planner.plan weighs them; planner.estimate prices what was given",
        )
    chart = found.chart
    drawn = draw_dots(chart, axes_for(ax, size=(7.8, 1.7 + 0.5 * len(chart.rows))))
    drawn.set_xlabel(f"{chart.x_title}\n{fill(found.note, LINE)}")
    return drawn
