"""Schemes side by side as a picture: the rates of the page of a comparison, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.planning.whatif.compared import Compared
from planner.plot.marks import draw_panels
from planner.report.figures.compared import LANGUAGE_FOLDER, compared_panels
from planner.report.phrases import phrases
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@typed
def compare(result: Compared, ax: Axes | None = None) -> Axes:
    """Output tokens/s per device with 80 % intervals, a panel for each model and device: the rows
    that no other beats, as on the page of ``plan compare --report``. The recommended plan is a
    diamond, as released a square; hollow does not keep the limits on time.

    Raises:
        InputError: another kind of result, or a comparison in which nothing runs.
    """
    chart = compared_panels(result, phrases("en", LANGUAGE_FOLDER))
    if not chart.panels:
        raise InputError("nothing of this comparison runs", hint="see the reasons in its rows")
    return draw_panels(chart, ax)
