"""What of an answer a sweep's page shows, and the figures of it as records: a map, and bars with
intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from planner.base.units import GIB
from planner.report.charts.lines_svg import LineChart, LinePanel, LinePoint
from planner.report.charts.records import (
    Bar,
    BarGroup,
    GroupedBars,
    HeatCell,
    HeatMap,
    number_text,
)
from planner.report.phrases import Phrases
from planner.report.sweep_axes import (
    NUMERIC,
    Columns,
    SweepAxis,
    SweepGrid,
    SweepView,
    axes,
    compared_axis,
)
from planner.report.view.sweep_words import axis_value, reason, short_reason

WIDE = 30.0
"""Where the greatest value is more than this many times the least, points on a logarithm stand for
bars, whose lengths would mean nothing there."""


NATS = "nats"
"""The unit of a loss; what follows in a row, of what they are, has no room in a chart."""


@dataclass(frozen=True, slots=True)
class SweepMeasure:
    """A column of answers in the unit that people read: times ``scale``; ``ends``: it has an
    interval."""

    name: str
    column: str
    scale: float = 1.0
    better: Literal["high", "low"] = "low"
    ends: bool = True

    def value(self, columns: Columns, n: int, end: str = "") -> float | None:
        """The value of row ``n``, or an ``end`` (``_low``, ``_high``) of its interval; None where
        there is none."""
        if end and not self.ends:
            return None
        if self.name == "users":
            batch, replicas = columns["batch"][n], columns["replicas"][n]
            return None if batch is None else float(batch * replicas)
        number = columns[f"{self.column}{end}"][n]
        return None if number is None else float(number * self.scale)

    def unit(self, say: Phrases, columns: Columns) -> str:
        """The unit, that of the loss as the rows have it."""
        if self.name != "loss":
            return say(f"unit.{self.name}")
        units = dict.fromkeys(
            NATS if unit.startswith(NATS) else unit.split(",")[0]
            for unit in columns["loss_unit"]
            if unit is not None
        )
        return " / ".join(map(say.original, units))


MEASURES = (
    SweepMeasure("rate", "output_tokens_per_second_per_device", better="high"),
    SweepMeasure("total", "output_tokens_per_second", better="high"),
    SweepMeasure("usd", "usd_per_million_output_tokens"),
    SweepMeasure("tpot", "tpot_seconds", 1e3),
    SweepMeasure("ttft", "ttft_seconds", 1e3),
    SweepMeasure("joules", "joules_per_output_token"),
    SweepMeasure("loss", "loss"),
    SweepMeasure("users", "batch", better="high", ends=False),
    SweepMeasure("gib", "total_bytes", 1 / GIB, ends=False),
)
BY_NAME = {one.name: one for one in MEASURES}


def shown_measures(columns: Columns) -> tuple[SweepMeasure, ...]:
    """Those that some row has a value of."""
    return tuple(
        measure
        for measure in MEASURES
        if any(value is not None for value in columns[measure.column])
    )


def heat_map(
    say: Phrases,
    columns: Columns,
    places: SweepGrid,
    view: SweepView,
    measure: SweepMeasure,
) -> HeatMap:
    """A measure by rows and columns of a view; without an answer the reason."""
    rows, across = places.of(view)
    cells = tuple(
        tuple(_cell(say, columns, view.places.get((row, column)), measure) for column in across)
        for row in rows
    )
    return HeatMap(
        title=_title(say, places, view, measure),
        rows=tuple(axis_value(say, places.rows, row) for row in rows),
        columns=tuple(axis_value(say, places.columns, value) for value in across),
        cells=cells,
        unit=measure.unit(say, columns),
        alt=_alt(say, columns, view, measure),
        log=measure.name != "loss",
        better=measure.better,
    )


def _cell(say: Phrases, columns: Columns, n: int | None, measure: SweepMeasure) -> HeatCell:
    if n is None:
        return HeatCell(None, "–", say("cell.not_asked"))
    value = measure.value(columns, n)
    if value is None:
        return HeatCell(None, short_reason(say, columns, n), reason(say, columns, n))
    return HeatCell(value, number_text(value))


def bars(
    say: Phrases,
    columns: Columns,
    places: SweepGrid,
    view: SweepView,
    measure: SweepMeasure,
) -> GroupedBars:
    """A measure with its interval: a group a row, a bar a column."""
    rows, across = places.of(view)
    groups = tuple(
        BarGroup(
            axis_value(say, places.rows, row),
            tuple(
                _bar(
                    say,
                    columns,
                    view.places.get((row, column)),
                    measure,
                    axis_value(say, places.columns, column) or say(f"measure.{measure.name}"),
                )
                for column in across
            ),
        )
        for row in rows
    )
    values = [
        value
        for n in view.places.values()
        if (value := measure.value(columns, n)) is not None and value > 0
    ]
    wide = measure.name != "loss" and len(values) > 1 and max(values) > WIDE * min(values)
    return GroupedBars(
        _title(say, places, view, measure),
        f"{say(f'measure.{measure.name}')} [{measure.unit(say, columns)}]",
        groups,
        _alt(say, columns, view, measure),
        wide,
    )


def _bar(say: Phrases, columns: Columns, n: int | None, measure: SweepMeasure, name: str) -> Bar:
    if n is None:
        return Bar(name, None, None, None, say("cell.not_asked"))
    value = measure.value(columns, n)
    if value is None:
        return Bar(name, None, None, None, short_reason(say, columns, n))
    return Bar(name, value, measure.value(columns, n, "_low"), measure.value(columns, n, "_high"))


def _title(say: Phrases, places: SweepGrid, view: SweepView, measure: SweepMeasure) -> str:
    """What is seen, and where."""
    where = view_name(say, places, view)
    return say(f"measure.{measure.name}") + (f" · {where}" if where else "")


def view_name(say: Phrases, places: SweepGrid, view: SweepView) -> str:
    """The values of the axes that are neither rows nor columns."""
    return ", ".join(
        f"{say(f'axis.{axis.name}')} {axis_value(say, axis, value)}"
        for axis, value in zip(places.others, view.values, strict=True)
    )


def _alt(say: Phrases, columns: Columns, view: SweepView, measure: SweepMeasure) -> str:
    """The range of a measure with its ends, and how many places have no answer."""
    there = [
        (value, n) for n in view.places.values() if (value := measure.value(columns, n)) is not None
    ]
    gone = len(view.places) - len(there)
    if not there:
        return say("alt.none", n=gone)
    low, high = min(there), max(there)

    def where(n: int) -> str:
        return f"{columns['model'][n]}, {columns['device'][n]}"

    text = say(
        "alt.range",
        what=say(f"measure.{measure.name}"),
        unit=measure.unit(say, columns),
        low=number_text(low[0]),
        low_at=where(low[1]),
        high=number_text(high[0]),
        high_at=where(high[1]),
    )
    return text + (say("alt.gone", n=gone) if gone else "")


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
    varying = list(axes(columns))
    numeric = [
        axis for axis in varying if axis.name in NUMERIC and len(set(axis.values) - {None}) > 1
    ]
    if not numeric:
        return None
    compared = compared_axis(varying)
    free = [axis for axis in numeric if axis is not compared] or numeric
    across = max(free, key=lambda axis: len(axis.values))
    rest = [axis for axis in varying if axis is not across]
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
    measure = BY_NAME["rate"]
    groups: dict[tuple[object, ...], dict[int, list[LinePoint]]] = {}
    names = () if plan.lines is None else plan.lines.values
    for n in range(len(columns["status"])):
        key = tuple(columns[axis.name][n] for axis in plan.panels)
        name = names.index(columns[plan.lines.name][n]) if plan.lines is not None else 0
        value, low, high = (measure.value(columns, n, end) for end in ("", "_low", "_high"))
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
        f"{say('measure.rate')} [{measure.unit(say, columns)}]",
        tuple(axis_value(say, plan.across, value) for value in plan.across.values),
        tuple(axis_value(say, plan.lines, value) for value in names),
        panels,
        say("lines.alt", axis=across, n=len(panels)),
    )
