"""A fleet as a picture: which models take which devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import SOFT, axes_for, describe, listed, tidy
from planner.plot.comparison import COLOURS
from planner.sizing.fleet.answer import Fleet
from planner.sizing.fleet.figures import device_bars
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@typed
def fleet(result: Fleet, ax: Axes | None = None) -> Axes:
    """Devices of each kind by model, and those that are left; the numbers are those of the page.

    Raises:
        InputError: another kind of result.
    """
    from matplotlib.ticker import MaxNLocator

    bars = device_bars(result)
    ax = axes_for(ax, size=(7.2, 0.9 + 0.5 * len(bars)))
    colours = {one.name: COLOURS[n % len(COLOURS)] for n, one in enumerate(result.models)}
    names = [bar.device for bar in bars]
    at = dict.fromkeys(names, 0)
    for bar in bars:
        for name, count in bar.taken:
            ax.barh(bar.device, count, left=at[bar.device], color=colours[name], height=0.6)
            at[bar.device] += count
        ax.barh(
            bar.device,
            bar.left,
            left=at[bar.device],
            color="none",
            edgecolor=SOFT,
            linewidth=0.8,
            height=0.6,
        )
    for name, colour in colours.items():
        ax.barh(names[:1], [0], color=colour, label=name)
    ax.barh(names[:1], [0], color="none", edgecolor=SOFT, label="left over")
    ax.set(xlabel="devices")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.invert_yaxis()
    tidy(ax, result.title, grid="x")
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    describe(
        ax,
        "Devices by kind and model: "
        + listed(
            (
                bar.device,
                ", ".join(
                    [*(f"{name} {count:,}" for name, count in bar.taken), f"left over {bar.left:,}"]
                ),
            )
            for bar in bars
        ),
    )
    return ax
