"""What more or less loss buys: the frontier, the plan on it, and the uniform formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from math import ceil, floor, log10

from planner.planning.inspect.layout_frontier import FrontierReach
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.plan_figures import (
    NO_LIMITS,
    OVER,
    PlanLimits,
    ReachFigure,
    ReachPlace,
    reach_figure,
)
from planner.report.charts.records import tick_text
from planner.report.charts.svg import (
    Labels,
    Scale,
    axis_steps,
    diamond,
    dot,
    figure,
    line,
    path,
    power_of_ten,
    text,
)
from planner.report.phrases import Phrases

WIDTH, HEIGHT = 760.0, 360.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 20.0, 28.0, 46.0
MOST_NAMES = 2
NOTHING = 46.0
"""Pixels kept for a loss of exactly 0, which a logarithm cannot show."""


def reach_svg(
    t: Phrases, plan: Plan, curve: Sequence[FrontierReach], limits: PlanLimits = NO_LIMITS
) -> str:
    """One ``svg`` element; the axis upwards is TPOT where the objective is latency (then lower is
    better), output tokens a second per device otherwise."""
    shown = reach_figure(plan, curve, limits)
    x, y, ticks = _scales(shown)
    name = t("reach.label", n=len(shown.curve), m=len(shown.others))
    return figure(
        "reach",
        WIDTH,
        HEIGHT,
        t("reach.title"),
        name,
        (
            *_grid(t, x, y, ticks, shown),
            *_limits(x, y, shown),
            *_curve(t, x, y, shown),
            *_interval(x, y, shown.mine),
            *_others(t, x, y, shown),
        ),
    )


def _label(names: Sequence[str]) -> str:
    """The shortest names, and how many more there are."""
    more = len(names) - MOST_NAMES
    shown = sorted(names, key=len)[:MOST_NAMES] if more > 0 else names
    return " · ".join(shown) + (f" +{more}" if more > 0 else "")


class _Loss:
    """Losses on a logarithm, with a place of its own for 0."""

    def __init__(self, losses: Sequence[float]) -> None:
        above = [v for v in losses if v > 0] or [1.0]
        self.zero = min(losses) <= 0
        self.low, self.high = (
            floor(2 * log10(min(above)) - 0.1) / 2,
            ceil(2 * log10(max(above)) + 0.1) / 2,
        )
        self.scale = Scale(
            10**self.low, 10**self.high, LEFT + (NOTHING if self.zero else 0.0), WIDTH - RIGHT, True
        )

    def __call__(self, loss: float) -> float:
        """Pixels of a loss."""
        return LEFT + 12 if loss <= 0 else self.scale(loss)


def _scales(shown: ReachFigure) -> tuple[_Loss, Scale, list[float]]:
    mine = shown.mine
    limits = shown.limits
    values = [p.value for p in shown.places] + [v for v in (mine.low, mine.high) if v is not None]
    losses = [p.loss for p in shown.places]
    losses += [v for v in (mine.loss_low, mine.loss_high) if v is not None and mine.loss > 0]
    if limits.loss:
        losses.append(limits.loss)
    if shown.late and limits.tpot_seconds is not None:
        values.append(limits.tpot_seconds)
    ticks = axis_steps(1.05 * max(values))
    return _Loss(losses), Scale(0.0, ticks[-1], HEIGHT - BOTTOM, TOP, False), ticks


def _interval(x: _Loss, y: Scale, mine: ReachPlace) -> Iterator[str]:
    """The 80 % intervals of the plan's value and loss, crossing at it."""
    if mine.low is not None and mine.high is not None and mine.low < mine.high:
        yield line("span", x(mine.loss), y(mine.low), x(mine.loss), y(mine.high))
    if mine.loss_low is not None and mine.loss_high is not None and mine.loss_low < mine.loss_high:
        yield line("span", x(mine.loss_low), y(mine.value), x(mine.loss_high), y(mine.value))


def _limits(x: _Loss, y: Scale, shown: ReachFigure) -> Iterator[str]:
    """Lines at the limits that the plan keeps, where an axis is what they limit."""
    limits = shown.limits
    if limits.loss is not None:
        yield line("limit", x(limits.loss), HEIGHT - BOTTOM, x(limits.loss), TOP)
    if shown.late and limits.tpot_seconds is not None:
        yield line("limit", LEFT, y(limits.tpot_seconds), WIDTH - RIGHT, y(limits.tpot_seconds))


def _show(value: float, late: bool) -> str:
    return words.span(value) if late else words.three_digits(value)


def _grid(
    t: Phrases,
    x: _Loss,
    y: Scale,
    ticks: Sequence[float],
    shown: ReachFigure,
) -> Iterator[str]:
    low = HEIGHT - BOTTOM
    for power in range(ceil(x.low), floor(x.high) + 1):
        at = x(10.0**power)
        yield line("grid", at, low, at, TOP) + text(at, low + 17, power_of_ten(power), "middle")
    if x.zero:
        yield line("grid", x(0), low, x(0), TOP) + text(x(0), low + 17, "0", "middle")
    for value in ticks:
        yield line("grid", LEFT, y(value), WIDTH - RIGHT, y(value)) + text(
            LEFT - 7,
            y(value) + 4,
            words.span(value) if value and shown.late else tick_text(value),
            "end",
        )
    yield text(WIDTH - RIGHT, HEIGHT - 10, f"{t('reach.x')} [{shown.loss_unit}]", "end", "name")
    yield text(LEFT, TOP - 12, t("reach.late" if shown.late else "reach.y"), "start", "name")


def _curve(t: Phrases, x: _Loss, y: Scale, shown: ReachFigure) -> Iterator[str]:
    """Steps: a bound buys what the point below it has, until the next one can be had."""
    places: list[tuple[float, float]] = []
    for mark in shown.curve:
        if places:
            places.append((x(mark.loss), places[-1][1]))
        places.append((x(mark.loss), y(mark.value)))
    if len(places) > 1:
        yield path("curve", places)
    for mark in shown.curve:
        yield dot(
            "reached over" if mark.over else "reached",
            x(mark.loss),
            y(mark.value),
            3.5,
            t("reach.mark", value=_show(mark.value, shown.late), loss=words.loss(mark.loss)),
        )


def _others(t: Phrases, x: _Loss, y: Scale, shown: ReachFigure) -> Iterator[str]:
    label, mine = Labels(WIDTH - RIGHT), shown.mine
    for mark in shown.places:
        label.block(x(mark.loss) - 5, y(mark.value) + 4, 10)
    mark_text = t("reach.mark", value=_show(mine.value, shown.late), loss=words.loss(mine.loss))
    yield label(x(mine.loss), y(mine.value) - 11, t("baselines.self"), "own")
    for place in shown.others:
        mark = replace(place, names=tuple(map(t.original, place.names)))
        at = (x(mark.loss), y(mark.value))
        says = t("reach.mark", value=_show(mark.value, shown.late), loss=words.loss(mark.loss))
        kind = "cross over" if mark.over else "cross"
        yield line(kind, at[0] - 4, at[1] - 4, at[0] + 4, at[1] + 4)
        yield line(kind, at[0] - 4, at[1] + 4, at[0] + 4, at[1] - 4)
        names = [t.pieced(name) for name in mark.names]
        shown_names = _label(names) + (OVER if mark.over else "")
        yield (
            f"<g><title>{escape(' · '.join(names))}: {says}</title>{label(*at, shown_names)}</g>"
        )
    yield diamond("mine", x(mine.loss), y(mine.value), 7.5, mark_text)
