"""Predicted against measured: a panel a table and metric, logarithmic axes; the same rows give the
same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f5f9e", "#0f766e", "#9a4a00", "#6d28a8", "#9d1f55", "#4c7a1e", "#1b1f24")
LEFT_OUT = "#c3c9d2"
MOST = 1500
"""Points drawn in a panel; of more, one in n is drawn and the title says so."""
BAND = 0.2
COLUMNS = 3
UNITS = {"latency": "s", "tpot": "s", "ttft": "s", "output_tokens_per_second": "tokens/s",
         "memory": "bytes, blocks or tokens"}


@dataclass
class Panel:
    """Rows of one table and metric: (device, measured, predicted, left out of headlines)."""

    table: str
    metric: str
    rows: list[tuple[str, float, float, bool]] = field(default_factory=list)


def panels(outcomes: Iterable[Any]) -> list[Panel]:
    """Panels of predicted rows, in order of table and metric. Rows have ``table``, ``metric``,
    ``device``, ``measured``, ``predicted`` (None: no point) and ``regime``."""
    found: dict[tuple[str, str], Panel] = {}
    for o in outcomes:
        if o.predicted is None or o.predicted <= 0 or o.measured <= 0:
            continue
        panel = found.setdefault((o.table, o.metric), Panel(o.table, o.metric))
        panel.rows.append((o.device, o.measured, o.predicted, o.regime.startswith("excluded")))
    return [found[key] for key in sorted(found)]


def draw(panel: Panel, axes: Axes) -> Axes:
    """Draw ``panel`` with the 1:1 line and lines at ±20 %."""
    step = -(-len(panel.rows) // MOST)
    rows = panel.rows[::step]
    low = min(min(m, p) for _, m, p, _ in rows) / 1.5
    high = max(max(m, p) for _, m, p, _ in rows) * 1.5
    axes.plot([low, high], [low, high], color="#1b1f24", linewidth=0.8)
    for factor in (1 - BAND, 1 + BAND):
        axes.plot([low, high], [low * factor, high * factor], color="#8d95a1", linewidth=0.6,
                  linestyle="--")
    out = [(m, p) for _, m, p, left in rows if left]
    if out:
        axes.plot(*zip(*out, strict=True), ".", color=LEFT_OUT, markersize=3, label="excluded")
    for i, device in enumerate(sorted({d for d, _, _, left in rows if not left})):
        here = [(m, p) for d, m, p, left in rows if d == device and not left]
        axes.plot(*zip(*here, strict=True), ".", color=COLOURS[i % len(COLOURS)], markersize=3,
                  label=device)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    unit = UNITS.get(panel.metric, "")
    axes.set_xlabel(f"measured {panel.metric} [{unit}]" if unit else f"measured {panel.metric}")
    axes.set_ylabel("predicted")
    thin = f", 1 in {step} of {len(panel.rows)} rows" if step > 1 else f", {len(panel.rows)} rows"
    axes.set_title(panel.table + thin, loc="left", fontsize=9)
    axes.legend(loc="upper left", frameon=False, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def svg(drawn: Sequence[Panel]) -> str:
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
    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none",
                         "font.size": 8}):
        figure = Figure(figsize=(4.2 * columns, 3.9 * rows), layout="constrained")
        for i, panel in enumerate(drawn):
            draw(panel, figure.add_subplot(rows, columns, i + 1))
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
