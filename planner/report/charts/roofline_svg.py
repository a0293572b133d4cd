"""The roofline: operators by FLOP per byte and rate, both axes logarithmic, under the roofs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from planner.planning.inspect.roofline import Operator, Operators
from planner.planning.plan.picture import format_colour, text_colour
from planner.report.charts.chart import INK, Chart, ChartAxis, Mark, MarkGroup, PointMarks, Words
from planner.report.charts.drawing import drawn
from planner.report.charts.svg import decades
from planner.report.phrases import Phrases

TERA = 1e12


def roofline_svg(t: Phrases, operators: Operators) -> str:
    """One ``svg`` element; marks have the numbers of the table, and move apart."""
    return drawn(roofline_chart(t, operators, numbered(t, operators)))


def operator_numbers(operators: Operators) -> dict[tuple[str, str], int]:
    """Numbers of (kind, scheme) on the chart and in its table, from 1."""
    return {
        key: i + 1
        for i, key in enumerate(dict.fromkeys((o.kind, o.scheme) for o in operators.points))
    }


def roofline_chart(t: Phrases, operators: Operators, points: Sequence[Mark | MarkGroup]) -> Chart:
    """FLOP per byte against TFLOP/s of a device: bandwidth and peaks, ``points`` under them."""
    wide, top = operators.bandwidth_bytes_per_s, max(peak for _, peak in operators.roofs)
    x0, x1 = _ends([*(o.intensity for o in operators.points), top / wide * 1.5])
    y0, y1 = _ends([*(o.flop_per_s / TERA for o in operators.points), top / TERA * 1.3])
    start = max(10.0**x0, 10.0**y0 * TERA / wide)
    slope = ((start, start * wide / TERA), (top / wide, top / TERA))
    marks: list[Mark] = [PointMarks(slope, INK, "", line="-", kind="roof")]
    for peak, formats in operators.peaks:
        rate, end = peak / TERA, 10.0**x1
        ends = ((peak / wide, rate), (end, rate))
        words = f"{' · '.join(formats)} {rate:,.0f}"
        marks += [
            PointMarks(ends, INK, "", line="-", kind="roof"),
            Words(end, rate, words, 8, INK, "right", "bottom", (0, 3.8), kind="name"),
        ]
    return Chart(
        t("roofline.title"),
        ChartAxis(t("roofline.x"), "log", (10.0**x0, 10.0**x1), decades(x0, x1)),
        ChartAxis(t("roofline.y"), "log", (10.0**y0, 10.0**y1), decades(y0, y1)),
        (*marks, *points),
        t("roofline.label", n=len(operators.points)),
        (8.0, 5.26),
        grid="both",
        kind="roofline",
        aside=16.0,
    )


def _ends(values: list[float]) -> tuple[float, float]:
    """Exponents around ``values`` with some room, in halves of a decade."""
    return (floor(2 * log10(min(values)) - 0.2) / 2, ceil(2 * log10(max(values)) + 0.2) / 2)


def operator_mark(operator: Operator, size: float) -> PointMarks:
    """Filled where it is of a decode step, hollow of a prompt, in the colour of its format."""
    at, colour = ((operator.intensity, operator.flop_per_s / TERA),), format_colour(operator.scheme)
    if operator.phase == "decode":
        return PointMarks(at, colour, "o", size, edge=INK, rim=0.5, kind="mark", coloured=True)
    return PointMarks(
        at, colour, "s", size, hollow=True, rim=1.6, kind="mark prompt", coloured=True
    )


def numbered(t: Phrases, operators: Operators) -> list[MarkGroup]:
    """Marks with the numbers of their operators, those of decode steps above."""
    numbers, marks = operator_numbers(operators), list[MarkGroup]()
    for o in sorted(operators.points, key=lambda o: (o.phase == "decode", -o.seconds)):
        mark, inside = operator_mark(o, 12.9), o.phase == "decode"
        words = Words(
            *mark.places[0],
            str(numbers[o.kind, o.scheme]),
            7,
            text_colour(mark.colour) if inside else INK,
            "center",
            "center",
            kind=o.phase,
            coloured=inside,
        )
        told = (
            f"{o.kind} {o.scheme}, {t(f'phase.{o.phase}')}: "
            f"{o.intensity:,.1f} FLOP/B, {o.flop_per_s / TERA:,.1f} TFLOP/s"
        )
        marks.append(MarkGroup((mark, words), told, apart=True))
    return marks
