"""Schemes side by side as a picture: the rates of a comparison's page, or rate against loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from planner.errors import InputError
from planner.planning.whatif.compared import Compared, ComparedPlan
from planner.plot.axes import SOFT, axes_for, describe, interval, listed, tidy
from planner.plot.marks import draw_panels
from planner.report.figures.compared import LANGUAGE_FOLDER, compared_panels
from planner.report.figures.ticks import tick_text
from planner.report.phrases import phrases
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f5fa8", "#9a4a06", "#2b7a4b", "#9d1f55", "#5b4a9c", "#59626e", "#0f7f86", "#a37c00")
MARKS = {"recommended": "D", "released": "s", "uniform": "o"}


@typed
def compare(
    result: Compared, ax: Axes | None = None, *, by: Literal["format", "loss"] = "format"
) -> Axes:
    """Output tokens/s per device with 80 % intervals, a panel for each model and device: the rows
    that no other beats, as on the page of ``plan compare --report``. The recommended plan is a
    diamond, as released a square; hollow does not keep the limits on time.

    ``by="loss"``: every row's rate against its loss with the intervals of both, a colour for each
    model and device.

    Raises:
        InputError: another kind of result, or a comparison in which nothing runs.
    """
    if not any(row.feasible for row in result.rows):
        raise InputError("nothing of this comparison runs", hint="see the reasons in its rows")
    return (
        _against_loss(result, ax)
        if by == "loss"
        else draw_panels(compared_panels(result, phrases("en", LANGUAGE_FOLDER)), ax)
    )


def _against_loss(result: Compared, ax: Axes | None) -> Axes:
    from matplotlib.ticker import FuncFormatter

    rows = [row for row in result.rows if row.feasible]
    ax = axes_for(ax, size=(7.2, 4.4))
    pairs = list(dict.fromkeys((row.model, row.device) for row in rows))
    least = min([row.loss for row in rows if row.loss], default=1.0)
    for place, pair in enumerate(pairs):
        colour = COLOURS[place % len(COLOURS)]
        for row in rows:
            if (row.model, row.device) == pair:
                _draw(ax, row, colour, named=len(pairs) == 1)
        ax.plot([], [], "o", color=colour, label=_label(result, pair))
    ax.set_xscale("symlog", linthresh=least)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    ax.set(
        xlabel=f"loss [{rows[0].loss_unit.partition(' (')[0]}]", ylabel="output tokens/s per device"
    )
    tidy(ax, "schemes side by side", grid="both")
    ax.legend(fontsize=8, frameon=False, loc="best")
    describe(
        ax,
        "Output tokens/s per device and loss: "
        + listed(
            (f"{row.name}, {_label(result, (row.model, row.device))}", _told(row)) for row in rows
        ),
    )
    return ax


def _told(row: ComparedPlan) -> str:
    rate = row.output_tokens_per_second_per_device
    assert rate is not None
    return (
        f"{interval(rate.value, rate.low, rate.high)}, loss "
        f"{interval(row.loss or 0.0, row.loss_low, row.loss_high)}"
    )


def _draw(ax: Axes, row: ComparedPlan, colour: str, *, named: bool) -> None:
    rate = row.output_tokens_per_second_per_device
    assert rate is not None
    at = (row.loss or 0.0, rate.value)
    ax.vlines(at[0], rate.low, rate.high, color=colour, linewidth=1.1, alpha=0.45)
    if row.loss_low is not None and row.loss_high is not None:
        ax.hlines(at[1], row.loss_low, row.loss_high, color=colour, linewidth=0.8, alpha=0.25)
    ax.plot(
        *at,
        MARKS[row.kind],
        color=colour,
        markersize=8 if row.kind == "recommended" else 6,
        markerfacecolor=colour if row.within_limits else "none",
    )
    if named or row.kind == "recommended":
        ax.annotate(
            row.name, at, xytext=(6, -3), textcoords="offset points", fontsize=7, color=SOFT
        )


def _label(result: Compared, pair: tuple[str, str]) -> str:
    """What tells a pair from the others."""
    model, device = pair
    if len(result.models) == 1:
        return device
    return model if len(result.devices) == 1 else f"{model} on {device}"
