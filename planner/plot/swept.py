"""A sweep as a picture: the map or the bars of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from planner.errors import InputError, UnknownNameError
from planner.plot.marks import draw_bars, draw_heat_map
from planner.report.page.sweep_measures import BY_NAME, bars, heat_map, shown_measures
from planner.report.page.sweep_words import sweep_phrases
from planner.report.sweep_axes import Columns, axes, grid
from planner.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NEEDED = ("status", "model", "device", "limit", "reason")


@typed
def sweep(
    result: pd.DataFrame,
    ax: Axes | None = None,
    *,
    measure: str = "rate",
    by: Literal["map", "bars"] = "map",
    view: int = 0,
) -> Axes:
    """A measure of ``planner.sweep`` by model and device, or whatever varies: a map whose hatched
    cells have no plan and say why, or ``by="bars"`` with 80 % intervals, as on the page of ``plan
    sweep --report``.

    ``measure`` is one of rate, total, usd, tpot, ttft, joules, loss, users, gib. Where more than
    two things vary there is a ``view`` for each value of the others, from 0.

    Raises:
        InputError: another frame, one in which nothing varies, a measure without a value, no such
            view. UnknownNameError: no such measure.
    """
    columns, say = _columns(result), sweep_phrases("en")
    if not axes(columns):
        raise InputError("nothing varies in this sweep", hint="ask about two models or devices")
    if measure not in BY_NAME:
        raise UnknownNameError("measure", measure, tuple(BY_NAME))
    one = BY_NAME[measure]
    if one not in shown_measures(columns):
        raise InputError(
            f"no row of this sweep has a value of {measure}",
            hint="a measure that some have: " + ", ".join(m.name for m in shown_measures(columns)),
        )
    found = grid(columns)
    if not 0 <= view < len(found.views):
        raise InputError(
            f"view {view} is not one of 0 to {len(found.views) - 1}",
            hint="a view is a value of what is neither row nor column, from 0",
        )
    place = found.views[view]
    if by == "bars" or found.columns is None:
        return draw_bars(bars(say, columns, found, place, one), ax)
    return draw_heat_map(heat_map(say, columns, found, place, one), ax)


def _columns(frame: Any) -> Columns:
    """The columns of a frame, None where a cell is empty."""
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing or frame.empty:
        what = "no rows" if not missing else "no column " + ", ".join(missing)
        raise InputError(
            f"result is a DataFrame with {what}", hint="give the frame of planner.sweep"
        )
    return {
        name: [
            None if absent else value
            for value, absent in zip(frame[name].tolist(), frame[name].isna(), strict=True)
        ]
        for name in frame.columns
    }
