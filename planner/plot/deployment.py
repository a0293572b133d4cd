"""A deployment under load as a picture: throughput against interactivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import INK, SOFT, axes_for, describe, interval, listed, tidy
from planner.report.figures.marks import written
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.serving.deployment import ServingAnswer

FRONT = "#1d5f9e"


@typed
def serving(result: ServingAnswer, ax: Axes | None = None) -> Axes:
    """Output tokens/s of a device against those of a user at every concurrency: the frontier
    joined, the asked concurrency ringed, with the 80 % interval of a user's rate.

    Raises:
        InputError: not the answer of ``planner.serve``.
    """
    ax = axes_for(ax, size=(6.4, 4.0))
    points = sorted(result.points, key=lambda p: p.output_tokens_per_second_per_user)
    front = [p for p in points if p.pareto or len(points) == 1]
    for some, colour, line in ((points, SOFT, ""), (front, FRONT, "-")):
        ax.plot(
            [p.output_tokens_per_second_per_user for p in some],
            [p.output_tokens_per_second_per_device for p in some],
            marker="o",
            markersize=4,
            linestyle=line,
            color=colour,
        )
    for p in front:
        ax.annotate(
            f"{p.concurrency:g}",
            (p.output_tokens_per_second_per_user, p.output_tokens_per_second_per_device),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=INK,
        )
    if result.point is not None:
        ax.plot(
            [result.point.output_tokens_per_second_per_user],
            [result.point.output_tokens_per_second_per_device],
            marker="o",
            markersize=11,
            linestyle="",
            markerfacecolor="none",
            color=INK,
        )
        if result.tpot_seconds is not None:
            ax.hlines(
                result.point.output_tokens_per_second_per_device,
                1 / result.tpot_seconds.high,
                1 / result.tpot_seconds.low,
                color=INK,
                linewidth=1.2,
            )
    tidy(
        ax,
        f"{result.model} on {result.devices} × {result.device}, {result.scheme}, prompt "
        f"{result.isl}, answer {result.osl}",
        grid="both",
    )
    ax.set_xlabel("output tokens/s of a user")
    ax.set_ylabel("output tokens/s of a device")
    ax.annotate(
        "numbers: requests at once",
        (1, 1),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=8,
        color=SOFT,
    )
    describe(
        ax,
        "Output tokens/s of a user and of a device by requests at once: "
        + listed(
            (
                f"{p.concurrency:g}",
                f"{written(p.output_tokens_per_second_per_user)}, "
                f"{written(p.output_tokens_per_second_per_device)}",
            )
            for p in points
        )
        + _asked(result),
    )
    return ax


def _asked(result: ServingAnswer) -> str:
    """The asked point with its interval, in words."""
    if result.point is None or result.tpot_seconds is None:
        return ""
    tpot = result.tpot_seconds
    return (
        f" Asked, {result.point.concurrency:g} at once: "
        f"{interval(1 / tpot.value, 1 / tpot.high, 1 / tpot.low)} a user."
    )
