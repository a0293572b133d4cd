"""A deployment under load as a picture: throughput against interactivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import INK, SOFT, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.serving.deployment import ServingAnswer

FRONT = "#1d5f9e"


def draw_points(answer: ServingAnswer, ax: Axes | None) -> Axes:
    """Every concurrency, those of the frontier joined, the asked one ringed."""
    ax = axes_for(ax, size=(6.4, 4.0))
    points = sorted(answer.points, key=lambda p: p.output_tokens_per_second_per_user)
    front = [p for p in points if p.pareto or len(points) == 1]
    for some, colour, line in ((points, SOFT, ""), (front, FRONT, "-")):
        ax.plot([p.output_tokens_per_second_per_user for p in some],
                [p.output_tokens_per_second_per_device for p in some],
                marker="o", markersize=4, linestyle=line, color=colour)
    for p in front:
        ax.annotate(f"{p.concurrency:g}", (p.output_tokens_per_second_per_user,
                                           p.output_tokens_per_second_per_device),
                    xytext=(4, 4), textcoords="offset points", fontsize=7.5, color=INK)
    if answer.point is not None:
        ax.plot([answer.point.output_tokens_per_second_per_user],
                [answer.point.output_tokens_per_second_per_device], marker="o", markersize=11,
                linestyle="", markerfacecolor="none", color=INK)
    tidy(ax, f"{answer.model} on {answer.devices} × {answer.device}, {answer.scheme}, prompt "
             f"{answer.isl}, answer {answer.osl}", grid="both")
    ax.set_xlabel("output tokens/s of a user")
    ax.set_ylabel("output tokens/s of a device")
    ax.annotate("numbers: requests at once", (1, 1), xycoords="axes fraction", ha="right", va="top",
                fontsize=8, color=SOFT)
    return ax
