"""The lines of a sweep along an axis of numbers, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from planner.report.drawing.sweep import LineChart, LinePanel, LinePoint
from planner.report.page.sweep_measures import BY_NAME
from planner.report.page.sweep_words import axis_value, short_reason
from planner.report.phrases import Phrases
from planner.report.sweep_axes import NUMERIC, Columns, SweepAxis, axes, compared_axis

MOST_PANELS, MOST_LINES = 12, 6


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
    others as panels; None where no number varies: no line joins what has no order."""
    found = list(axes(columns))
    numeric = [
        axis for axis in found if axis.name in NUMERIC and len(set(axis.values) - {None}) > 1
    ]
    if not numeric:
        return None
    compared = compared_axis(found)
    free = [axis for axis in numeric if axis is not compared] or numeric
    across = max(free, key=lambda axis: len(axis.values))
    rest = [axis for axis in found if axis is not across]
    lines = compared if compared is not across else None
    if lines is None and rest:
        short = min(rest, key=lambda axis: len(axis.values))
        lines = short if len(short.values) <= MOST_LINES else None
    values = sorted(across.values, key=lambda value: (value is None, value or 0))
    return Drawing(
        SweepAxis(across.name, tuple(values)),
        lines,
        tuple(axis for axis in rest if axis is not lines),
    )


def line_chart(say: Phrases, columns: Columns, plan: Drawing) -> LineChart:
    """Output tokens/s of a device over the axis, in at most MOST_PANELS panels."""
    one = BY_NAME["rate"]
    groups: dict[tuple[object, ...], dict[int, list[LinePoint]]] = {}
    names = () if plan.lines is None else plan.lines.values
    for n in range(len(columns["status"])):
        key = tuple(columns[axis.name][n] for axis in plan.panels)
        name = names.index(columns[plan.lines.name][n]) if plan.lines is not None else 0
        value, low, high = (one.value(columns, n, end) for end in ("", "_low", "_high"))
        why = short_reason(say, columns, n) if value is None else ""
        at = plan.across.values.index(columns[plan.across.name][n])
        groups.setdefault(key, {}).setdefault(name, []).append(LinePoint(at, value, low, high, why))
    panels = tuple(
        LinePanel(
            ", ".join(
                axis_value(say, axis, value) for axis, value in zip(plan.panels, key, strict=True)
            ),
            tuple(
                (name, tuple(sorted(points, key=lambda point: point.at)))
                for name, points in sorted(lines.items())
            ),
        )
        for key, lines in list(groups.items())[:MOST_PANELS]
    )
    across = say(f"axis.{plan.across.name}")
    unit = say.texts.get(f"axis_unit.{plan.across.name}")
    return LineChart(
        say("lines.title", axis=across),
        across if unit is None else f"{across} [{unit}]",
        f"{say('measure.rate')} [{one.unit(say, columns)}]",
        tuple(axis_value(say, plan.across, value) for value in plan.across.values),
        tuple(axis_value(say, plan.lines, value) for value in names),
        panels,
        say("lines.alt", axis=across, n=len(panels)),
    )
