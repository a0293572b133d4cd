"""The roofline as SVG text: operators by FLOP per byte and rate, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, hypot, log10

from planner.planning.inspect.roofline import Operator, Operators
from planner.planning.plan.picture import format_colour, text_colour
from planner.report.charts.svg import figure, line, power_of_ten, text
from planner.report.phrases import Phrases

WIDTH, HEIGHT = 760.0, 440.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 16.0, 26.0, 46.0
RADIUS = 8.5
ROUNDS = 80
"""Passes over all pairs of marks."""


class Axes:
    """Decades of both axes that hold every operator and every ridge."""

    def __init__(self, operators: Operators) -> None:
        peak = max(p for _, p in operators.roofs)
        xs = [o.intensity for o in operators.points] + [
            peak / operators.bandwidth_bytes_per_s * 1.5
        ]
        ys = [o.flop_per_s for o in operators.points] + [peak * 1.3]
        self.x0, self.x1 = _ends(xs)
        self.y0, self.y1 = _ends(ys)

    def x(self, value: float) -> float:
        """Pixels of an intensity."""
        share = (log10(value) - self.x0) / (self.x1 - self.x0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels of a rate."""
        share = (log10(value) - self.y0) / (self.y1 - self.y0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _ends(values: list[float]) -> tuple[float, float]:
    """Exponents around ``values`` with some room, in halves of a decade."""
    return (floor(2 * log10(min(values)) - 0.2) / 2, ceil(2 * log10(max(values)) + 0.2) / 2)


def operator_numbers(operators: Operators) -> dict[tuple[str, str], int]:
    """Numbers of (kind, scheme) on the chart and in its table, from 1."""
    return {
        key: i + 1
        for i, key in enumerate(dict.fromkeys((o.kind, o.scheme) for o in operators.points))
    }


def roofline_svg(t: Phrases, operators: Operators) -> str:
    """One ``svg`` element without scripts, styles of its own or outside references."""
    axes = Axes(operators)
    return figure(
        "roofline",
        WIDTH,
        HEIGHT,
        t("roofline.title"),
        t("roofline.label", n=len(operators.points)),
        (*_grid(axes), *_roofs(axes, operators), *_labels(t), *_points(t, axes, operators)),
    )


def _grid(axes: Axes) -> Iterator[str]:
    low, high = HEIGHT - BOTTOM, TOP
    for power in range(ceil(axes.x0), floor(axes.x1) + 1):
        at = axes.x(10.0**power)
        yield line("grid", at, low, at, high) + text(at, low + 17, power_of_ten(power), "middle")
    for power in range(ceil(axes.y0), floor(axes.y1) + 1):
        at = axes.y(10.0**power)
        yield line("grid", LEFT, at, WIDTH - RIGHT, at) + text(
            LEFT - 7, at + 4, power_of_ten(power - 12), "end"
        )


def _roofs(axes: Axes, operators: Operators) -> Iterator[str]:
    wide = operators.bandwidth_bytes_per_s
    top = max(peak for _, peak in operators.roofs)
    start = max(10.0**axes.x0, 10.0**axes.y0 / wide)
    yield line("roof", axes.x(start), axes.y(start * wide), axes.x(top / wide), axes.y(top))
    for peak, formats in operators.peaks:
        at = axes.y(peak)
        yield line("roof", axes.x(peak / wide), at, WIDTH - RIGHT, at)
        yield text(
            WIDTH - RIGHT, at - 5, f"{' · '.join(formats)} {peak / 1e12:,.0f}", "end", "name"
        )


def _points(t: Phrases, axes: Axes, operators: Operators) -> Iterator[str]:
    """Marks that would cover each other move apart; a line leads to the place of a moved one."""
    numbers = operator_numbers(operators)
    shown = sorted(operators.points, key=lambda o: (o.phase == "decode", -o.seconds))
    true = [(axes.x(o.intensity), axes.y(o.flop_per_s)) for o in shown]
    for operator, (x0, y0), (x, y) in zip(shown, true, spread_marks(true), strict=True):
        title = escape(
            f"{operator.kind} {operator.scheme}, {t(f'phase.{operator.phase}')}: "
            f"{operator.intensity:,.1f} FLOP/B, {operator.flop_per_s / 1e12:,.1f} TFLOP/s"
        )
        lead = line("lead", x0, y0, x, y) if abs(x - x0) + abs(y - y0) > 1 else ""
        number = text(
            x,
            y + 3.6,
            str(numbers[operator.kind, operator.scheme]),
            "middle",
            operator.phase,
            text_colour(format_colour(operator.scheme)) if operator.phase == "decode" else "",
        )
        yield f"<g><title>{title}</title>{lead}{_mark(operator, x, y)}{number}</g>"


def spread_marks(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places moved so that marks hardly overlap; the same for the same input.

    Pairs that are too near push each other off, by their order where they are at one place. A mark
    only moves right and down, so that none is drawn above a roof that it is under.
    """
    now = list(places)
    near = 2 * RADIUS + 1
    for _ in range(ROUNDS):
        for i in range(len(now)):
            for j in range(i):
                dx, dy = now[i][0] - now[j][0], now[i][1] - now[j][1]
                gap = hypot(dx, dy)
                if gap >= near:
                    continue
                push = (near - gap) / 2
                dx, dy = (dx / gap, dy / gap) if gap > 0.01 else (0.6, 0.8)
                now[i] = _inside(places[i], now[i][0] + dx * push, now[i][1] + dy * push)
                now[j] = _inside(places[j], now[j][0] - dx * push, now[j][1] - dy * push)
    return now


def _inside(true: tuple[float, float], x: float, y: float) -> tuple[float, float]:
    """(x, y) right of and below its true place, in the drawing."""
    return (
        min(max(x, true[0]), WIDTH - RIGHT - RADIUS),
        min(max(y, true[1]), HEIGHT - BOTTOM - RADIUS),
    )


def _mark(operator: Operator, x: float, y: float) -> str:
    colour = format_colour(operator.scheme)
    if operator.phase == "decode":
        return (
            f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" style="fill:{colour}"/>'
        )
    return (
        f'<rect class="mark prompt" x="{x - RADIUS:.1f}" y="{y - RADIUS:.1f}" '
        f'width="{2 * RADIUS}" height="{2 * RADIUS}" style="stroke:{colour}"/>'
    )


def _labels(t: Phrases) -> Iterator[str]:
    yield text(WIDTH - RIGHT, HEIGHT - 10, t("roofline.x"), "end", "name")
    yield text(LEFT, TOP - 11, t("roofline.y"), "start", "name")
