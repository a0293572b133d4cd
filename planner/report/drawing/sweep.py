"""Small multiples of a sweep as SVG: a panel for each combination, a line for each value compared.

The same table gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import ceil, prod
from typing import TYPE_CHECKING, Any

from planner.report.sweep_axes import Columns, SweepAxis, axes, compared_axis, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = "output_tokens_per_second_per_device"
MOST_PANELS, MOST_LINES, ACROSS = 12, 6, 3
COLOURS = ("#1d5f9e", "#c2410c", "#0b6f63", "#6d28a8", "#9d1f55", "#6b7380")
MARKERS = "osD^vP"
NUMERIC = ("asked_context", "asked_isl", "asked_osl", "asked_batch", "asked_devices", "asked_tp",
           "asked_dp", "asked_pp", "asked_ep", "tpot_limit_seconds", "ttft_limit_seconds",
           "memory_bytes")


@dataclass(frozen=True, slots=True)
class Drawing:
    """What goes where: ``across`` on the x axis, ``lines`` in colours, ``panels`` apart."""

    across: SweepAxis
    lines: SweepAxis | None
    panels: tuple[SweepAxis, ...]

    @property
    def count(self) -> int:
        """Panels in all, drawn or not."""
        return prod(len(axis.values) for axis in self.panels)


def drawing(columns: Columns) -> Drawing | None:
    """The numeric axis with most values across, the compared axis (else the shortest) as lines, the
    others as panels; None where nothing varies."""
    found = list(axes(columns))
    if not found:
        return None
    compared = compared_axis(found) if len(found) > 1 else None
    free = [axis for axis in found if axis is not compared]
    numeric = [axis for axis in free if axis.name in NUMERIC]
    across = max(numeric or free, key=lambda axis: len(axis.values))
    rest = [axis for axis in free if axis is not across]
    if compared is None and rest:
        short = min(rest, key=lambda axis: len(axis.values))
        compared = short if len(short.values) <= MOST_LINES else None
    return Drawing(across, compared, tuple(axis for axis in rest if axis is not compared))


def sweep_svg(columns: Columns) -> str:
    """Output tokens/s per device over the widest axis, in panels; crosses mark where there is no
    plan. Empty where nothing varies."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    plan = drawing(columns)
    if plan is None:
        return ""
    groups = _panels(columns, plan)
    names = list(groups)[:MOST_PANELS]
    wide = min(ACROSS, len(names))
    high = ceil(len(names) / wide)
    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none",
                         "font.size": 8}):
        figure = Figure(figsize=(1.2 + 2.6 * wide, 0.9 + 2.0 * high), layout="constrained")
        drawn = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
        for n, place in enumerate(drawn.flat):
            if n < len(names):
                _panel(place, columns, plan, groups[names[n]])
                place.set_title(_title(plan, names[n]), loc="left", fontsize=8)
            else:
                place.set_axis_off()
        _frame(figure, drawn, plan)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _panels(columns: Columns, plan: Drawing) -> dict[tuple[Any, ...], list[int]]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for n in range(len(columns["status"])):
        groups.setdefault(tuple(columns[axis.name][n] for axis in plan.panels), []).append(n)
    return groups


def _title(plan: Drawing, key: Sequence[Any]) -> str:
    return ", ".join(told(axis.name, value) for axis, value in zip(plan.panels, key, strict=True))


def _panel(place: Axes, columns: Columns, plan: Drawing, rows: Sequence[int]) -> None:
    lines = plan.lines.values if plan.lines is not None else (None,)
    for i, value in enumerate(lines[:MOST_LINES]):
        mine = [n for n in rows if plan.lines is None or columns[plan.lines.name][n] == value]
        points = [(plan.across.values.index(columns[plan.across.name][n]), columns[RATE][n])
                  for n in mine]
        points.sort(key=lambda point: point[0])
        label = None if plan.lines is None else told(plan.lines.name, value)
        colour, marker = COLOURS[i], MARKERS[i]
        there = [(x, y) for x, y in points if y is not None]
        place.plot([x for x, _ in there], [y for _, y in there], marker=marker, markersize=3.5,
                   linewidth=1.2, color=colour, label=label)
        gone = [x for x, y in points if y is None]
        place.plot(gone, [0.04 + 0.05 * i] * len(gone), "x", markersize=4, color=colour,
                   transform=place.get_xaxis_transform())


def _frame(figure: Any, drawn: Any, plan: Drawing) -> None:
    """Scales, ticks, names and one legend for all panels."""
    for place in drawn.flat:
        place.set_yscale("log")
        place.set_xticks(range(len(plan.across.values)),
                         [told(plan.across.name, v) for v in plan.across.values],
                         rotation=45, ha="right", rotation_mode="anchor")
        place.grid(axis="y", linewidth=0.4, color="#d5d9df")
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    figure.supxlabel(plan.across.title, fontsize=8)
    figure.supylabel("output tokens/s per device", fontsize=8)
    handles, labels = drawn.flat[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels),
                      frameon=False)
