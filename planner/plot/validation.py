"""Errors of predictions as a picture: a strip a table and metric."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from planner.plot.axes import INK, SOFT, axes_for, describe, listed, tidy
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.lab.validation.records import Outcome, Validation

WIDEST = 100.0
"""Errors beyond are drawn at the edge [%]."""


@typed
def validation_errors(result: Validation, ax: Axes | None = None) -> Axes:
    """The signed error [%] of every predicted row that counts, a strip a table and metric; at the
    right the median of their size.

    Raises:
        InputError: not the answer of ``planner.validate``.
    """
    rows: dict[str, list[Outcome]] = {}
    for o in result.outcomes:
        if o.predicted is not None and not o.regime.startswith("excluded"):
            rows.setdefault(f"{o.table} · {o.metric}", []).append(o)
    names = sorted(rows)
    ax = axes_for(ax, size=(8.0, 1.0 + 0.34 * len(names)))
    said = []
    ax.axvspan(-20, 20, color="#eef1f4", zorder=0)
    for y, name in enumerate(names):
        errors = [max(-WIDEST, min(WIDEST, o.error_percent)) for o in rows[name]]
        jitter = [y + 0.5 * ((7 * i) % 11 / 10 - 0.5) for i in range(len(errors))]
        ax.plot(errors, jitter, ".", color="#1d5f9e", alpha=0.45, markersize=4)
        middle = median(abs(o.error_percent) for o in rows[name])
        ax.text(
            WIDEST * 1.03, y, f"{middle:.1f} % of {len(errors)}", va="center", fontsize=8, color=INK
        )
        said.append((name, f"median {middle:.1f} % of {len(errors)} rows"))
    ax.axvline(0, color=SOFT, linewidth=0.9)
    tidy(ax, "error of each row; right: median size and rows; grey: ±20 %", grid="x")
    ax.set(xlim=(-WIDEST, WIDEST), xlabel="(predicted − measured) / measured [%]")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    describe(ax, "Size of the error by table and metric: " + listed(said))
    return ax
