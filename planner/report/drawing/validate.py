"""Predicted against measured: a panel a table and metric, logarithmic axes; the same rows give the
same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from planner.report.drawing.svg import named_document
from planner.report.figures.validation import PredictedPanel, PredictedRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f5f9e", "#0f766e", "#9a4a00", "#6d28a8", "#9d1f55", "#4c7a1e", "#1b1f24")
LEFT_OUT, SPAN = "#c3c9d2", "#b9c6d6"
BAND = 0.2
COLUMNS = 3


def draw(panel: PredictedPanel, axes: Axes) -> Axes:
    """Draw ``panel`` with the 1:1 line, lines at ±20 % and the 80 % intervals of its rows."""
    rows = panel.shown
    low = min(min(r.measured, r.predicted) for r in rows) / 1.5
    high = max(max(r.measured, r.predicted) for r in rows) * 1.5
    _intervals(rows, axes)
    axes.plot([low, high], [low, high], color="#1b1f24", linewidth=0.8)
    for factor in (1 - BAND, 1 + BAND):
        axes.plot(
            [low, high],
            [low * factor, high * factor],
            color="#8d95a1",
            linewidth=0.6,
            linestyle="--",
        )
    out = [(r.measured, r.predicted) for r in rows if r.excluded]
    if out:
        axes.plot(*zip(*out, strict=True), ".", color=LEFT_OUT, markersize=3, label="excluded")
    for i, device in enumerate(sorted({r.device for r in rows if not r.excluded})):
        here = [(r.measured, r.predicted) for r in rows if r.device == device and not r.excluded]
        axes.plot(
            *zip(*here, strict=True),
            ".",
            color=COLOURS[i % len(COLOURS)],
            markersize=3,
            label=device,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel(f"measured {panel.metric} [{panel.unit}]")
    axes.set_ylabel(f"predicted [{panel.unit}], 80 % interval")
    thin = f", 1 in {panel.step} of" if panel.step > 1 else ","
    axes.set_title(f"{panel.table}{thin} {len(panel.rows)} rows", loc="left", fontsize=9)
    axes.legend(loc="upper left", frameon=False, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _intervals(rows: Sequence[PredictedRow], axes: Axes) -> None:
    """Intervals as one path, behind everything."""
    gap = float("nan")
    across, up = list[float](), list[float]()
    for row in rows:
        if row.low is not None and row.high is not None:
            across += [row.measured, row.measured, gap]
            up += [row.low, row.high, gap]
    if across:
        axes.plot(across, up, "-", color=SPAN, linewidth=0.6, zorder=0.5)


def svg(drawn: Sequence[PredictedPanel]) -> str:
    """The panels as SVG text; lines at ±20 % are dashed.

    Raises:
        ValueError: no panel.
    """
    if not drawn:
        raise ValueError("nothing to draw")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    with mpl.rc_context(
        {"svg.hashsalt": "precision-planner", "svg.fonttype": "none", "font.size": 8}
    ):
        figure = Figure(figsize=(4.2 * columns, 3.9 * rows), layout="constrained")
        for i, panel in enumerate(drawn):
            draw(panel, figure.add_subplot(rows, columns, i + 1))
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return named_document(out.getvalue(), "Predicted against measured", told(drawn))


def told(drawn: Sequence[PredictedPanel]) -> str:
    """What is seen, in words."""
    return (
        "; ".join(
            f"{p.table}, {p.metric}: {len(p.rows):,} rows, {_near(p):,} within ±{BAND:.0%}"
            for p in drawn
        )
        + "."
    )


def _near(panel: PredictedPanel) -> int:
    return sum(abs(r.predicted / r.measured - 1) <= BAND for r in panel.rows)
