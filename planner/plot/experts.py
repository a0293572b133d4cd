"""Where routed experts live, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import INK, axes_for, describe, listed, tidy
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.serving.experts import ExpertUse

FILLS = {"device": "#1d5f9e", "host": "#e0ad7c", "drive": "#c06c1f", "anywhere": "#8d95a1"}


@typed
def residency(result: ExpertUse, ax: Axes | None = None) -> Axes:
    """Where experts live: shares by place of all experts, of those a step touches, of picks.

    Raises:
        InputError: not the answer of ``planner.experts``.
    """
    ax = axes_for(ax, size=(7.0, 2.2))
    frame = result.to_frame()
    base, said = [0.0, 0.0, 0.0], []
    for row in frame.to_dict("records"):
        shares = [
            100 * row["experts"] / frame["experts"].sum(),
            100 * row["touched"] / max(frame["touched"].sum(), 1e-30),
            100 * row["picks"],
        ]
        ax.barh(
            ["experts", "touched by a step", "picks"],
            shares,
            left=base,
            height=0.65,
            color=FILLS[row["place"]],
            label=row["place"],
        )
        for y, (share, left) in enumerate(zip(shares, base, strict=True)):
            if share > 6:
                ax.text(
                    left + share / 2,
                    y,
                    f"{share:.0f} %",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="#ffffff" if row["place"] in ("device", "drive") else INK,
                )
        said.append((row["place"], ", ".join(f"{share:.1f} %" for share in shares)))
        base = [b + s for b, s in zip(base, shares, strict=True)]
    tidy(
        ax,
        f"{result.model}, {result.batch} tokens a step"
        + (f", on {result.device}" if result.device else ""),
        grid="x",
    )
    ax.set(xlim=(0, 100), xlabel="share [%]")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=4, frameon=False, fontsize=8)
    describe(ax, "Shares of experts, of those touched by a step and of picks: " + listed(said))
    return ax
