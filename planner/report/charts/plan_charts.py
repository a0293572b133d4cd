"""Charts of a plan from its file alone: formats, memory, time, and uniform formats beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.base.units import GIB, format_rate, format_seconds
from planner.planning.inspect.waterfall import BOUND_FILLS, waterfall
from planner.planning.plan.picture import format_colour, memory_shares, picture, text_colour
from planner.report.charts.chart import (
    EDGE,
    GRID,
    INK,
    NEAR,
    OWN,
    PALE,
    PLAIN,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    Interval,
    Legend,
    Mark,
    PointMarks,
    ValueLine,
    Words,
    named_rows,
    values_in_words,
)
from planner.report.charts.plan_figures import RivalRow, limits_of, rivals_figure
from planner.report.charts.records import interval_text

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan

UNITS = {
    "rate": (1.0, "output tokens/s per device"),
    "late": (1e-3, "TPOT [ms]"),
    "memory": (GIB, "memory of the fullest device [GiB]"),
    "loss": (1.0, "loss [{unit}]"),
}
"""Of what a plan's objective compares: what one unit of the axis is, and its name."""


LIMIT_WORDS = {"tpot": "TPOT", "ttft": "TTFT", "loss": "loss"}


def plan_title(plan: Plan) -> str:
    """Model, devices and workload in a few words."""
    return (
        f"{plan.model.id} on {plan.device.count} × {plan.device.id}, "
        f"context {plan.workload.context_tokens:,}"
    )


def _fills(colours: dict[str, str]) -> Legend | None:
    """Named colours below the axes."""
    if not colours:
        return None
    return Legend("upper left", (0, 0), 6, 3.8, 7.5, tuple(colours.items()))


def formats_chart(plan: Plan) -> Chart:
    """Layers × modules, coloured by format; a format's name stands in its run where it fits."""
    shown = picture(plan)
    marks: list[Mark] = []
    for row, strip in enumerate(shown.strips):
        for run in strip.runs:
            if not run.scheme:
                ends = ((run.first, row), (run.last + 1, row))
                marks.append(PointMarks(ends, GRID, "", line="-", width=1))
                continue
            colour = format_colour(run.scheme)
            marks.append(Bars(((row, run.first, run.count),), colour, 0.84))
            if run.count > 0.012 * shown.layers * len(run.scheme):
                x = run.first + run.count / 2
                marks.append(Words(x, row, run.scheme, 7, text_colour(colour), "center", "center"))
    names = [strip.kind for strip in shown.strips]
    ticks = tuple((n + 0.5, str(n)) for n in shown.ticks)
    return Chart(
        f"{plan_title(plan)}: formats by layer",
        ChartAxis("layer", ends=(0, max(shown.layers, 1)), ticks=ticks),
        named_rows(names),
        tuple(marks),
        f"Formats of {shown.layers} layers by module: "
        + values_in_words(
            (
                strip.kind,
                ", ".join(
                    f"{run.scheme} in {run.first}–{run.first + run.count - 1}"
                    for run in strip.runs
                    if run.scheme
                ),
            )
            for strip in shown.strips
        ),
        (8.0, 0.9 + 0.26 * len(names)),
        sides="bottom",
        legend=_fills({n: format_colour(n) for n in (*shown.weight_schemes, *shown.cache_layouts)}),
    )


def memory_chart(plan: Plan) -> Chart:
    """Parts of the fullest device's memory [GiB], against what may be used and what is visible."""
    memory, at = plan.memory_per_device, 0.0
    marks: list[Mark] = []
    for part in memory_shares(memory):
        size, kept = part.bytes / GIB, part.name == "kept"
        name, edge = f"{part.name} {size:,.1f} GiB", EDGE if kept else "#ffffff"
        bar = ((0.0, at, size),)
        marks.append(Bars(bar, part.fill or "#ffffff", 0.7, name, edge, hatched=kept))
        if part.fill and part.share > 0.12:
            words = f"{part.name}\n{size:,.1f}"
            marks.append(
                Words(at + size / 2, 0, words, 8, text_colour(part.fill), "center", "center")
            )
        at += size
    usable = memory.usable_bytes / GIB
    marks += [
        ValueLine(usable),
        Words(usable, 0.37, f"usable {usable:,.1f}", 8, INK, "right", "bottom", (-3, 1)),
    ]
    return Chart(
        f"{plan_title(plan)}: fullest device",
        ChartAxis("memory of the fullest device [GiB]", ends=(0, at)),
        ChartAxis(ends=(-0.45, 0.75), ticks=()),
        tuple(marks),
        f"Of {memory.capacity_bytes / GIB:,.1f} GiB, {usable:,.1f} GiB usable: "
        + values_in_words(
            (part.name, f"{part.bytes / GIB:,.1f} GiB") for part in memory_shares(memory)
        ),
        (8.0, 1.7),
        sides="bottom",
        legend=Legend("upper left", (0, 0), 3, 3.8, 7.5),
    )


def time_chart(plan: Plan, phase: str) -> Chart:
    """Each module's time in one ``decode`` step or one prompt (``prefill``), end to end, and the
    80 % interval of the end; in s, ms or µs, as it is long."""
    shown = waterfall(plan, phase)
    width = max(shown.sum_seconds, shown.end_seconds) or 1.0
    unit, size = ("s", 1.0) if width >= 1 else ("ms", 1e-3) if width >= 1e-3 else ("µs", 1e-6)
    marks: list[Mark] = []
    for row, bar in enumerate((*shown.bars, shown.rest)):
        start, length = bar.start * width / size, bar.share * width / size
        if bar is shown.rest:
            marks.append(Bars(((row, start, length),), "#ffffff", edge=EDGE, hatched=True))
        else:
            marks.append(Bars(((row, start, length),), bar.fill or SOFT))
        near = bar.start + bar.share < 0.85
        words = f"{NEAR}{format_seconds(bar.seconds)}{NEAR}"
        x, across = (start + length, "left") if near else (start, "right")
        marks.append(Words(x, row, words, across=across, up="center"))  # type: ignore[arg-type]
    low, high = shown.end_low_seconds / size, shown.end_high_seconds / size
    marks.append(Interval(len(shown.bars) + 0.55, low, high, width=1.4))
    bounds = {bar.bound for bar in shown.bars if bar.bound}
    names = [bar.name for bar in shown.bars]
    end = "TPOT" if phase == "decode" else "TTFT"
    return Chart(
        f"{plan_title(plan)}: {phase}, {end} {format_seconds(shown.end_seconds)}",
        ChartAxis(
            f"time [{unit}]; line: 80 % interval of {end}", ends=(0, max(width / size, high))
        ),
        named_rows([*names, f"rest of {end}"], 0.8),
        tuple(marks),
        f"{end} {format_seconds(shown.end_seconds)} ("
        f"{format_seconds(shown.end_low_seconds)} – "
        f"{format_seconds(shown.end_high_seconds)}), made of "
        + values_in_words(
            (name, format_seconds(bar.seconds))
            for name, bar in zip([*names, "rest"], (*shown.bars, shown.rest), strict=True)
        ),
        (8.0, 1.1 + 0.24 * (len(names) + 1)),
        grid="x",
        legend=_fills({name: colour for name, colour in BOUND_FILLS.items() if name in bounds}),
    )


def uniform_chart(plan: Plan) -> Chart:
    """What a plan's objective compares, of it with its 80 % interval and of every uniform format
    that fits; pale ones lose over 5 % more than the plan, or take over 5 % longer a token."""
    figure = rivals_figure(plan, limits_of(plan))
    size, label = UNITS[figure.compares]
    label = label.format(unit=figure.loss_unit)
    rows = [_in_units(row, size) for row in figure.rows]
    names = [_called(row) for row in rows]
    marks: list[Mark] = []
    for y, row in enumerate(rows):
        colour = OWN if row.kind == "plan" else PALE if row.pale else PLAIN
        marks.append(
            Bars(
                ((y, 0, row.value),),
                "#ffffff" if row.over else colour,
                edge=EDGE if row.over else "",
                hatched=bool(row.over),
            )
        )
        if row.low is not None and row.high is not None:
            marks.append(Interval(y, row.low, row.high))
        over = (
            f", over the limit on {' and '.join(map(LIMIT_WORDS.__getitem__, row.over))}"
            if row.over
            else ""
        )
        words = f"{NEAR}{format_rate(row.value)}, loss {row.loss:.3g}{over}"
        marks.append(Words(max(row.value, row.high or 0.0), y, words, up="center"))
    if figure.limit is not None:
        marks.append(ValueLine(figure.limit / size, dashed=True))
    longest = max(max(row.value, row.high or 0.0) for row in rows) or 1.0
    return Chart(
        f"{plan_title(plan)}: beside uniform formats",
        ChartAxis(label, ends=(0, 1.25 * longest)),
        named_rows(names),
        tuple(marks),
        f"{label}: "
        + values_in_words(
            (name, f"{interval_text(row.value, row.low, row.high)}, loss {row.loss:.3g}")
            for name, row in zip(names, rows, strict=True)
        ),
        (8.0, 1.1 + 0.26 * len(rows)),
        grid="x",
    )


def _in_units(row: RivalRow, size: float) -> RivalRow:
    low, high = (None if end is None else end / size for end in (row.low, row.high))
    return replace(row, value=row.value / size, low=low, high=high)


def _called(row: RivalRow) -> str:
    if row.kind == "uniform":
        return " = ".join(row.names)
    return "this plan" if row.kind == "plan" else "workers that do both"
