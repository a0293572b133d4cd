"""Users that fit against the length of a context, with the plan's caches and with BF16 ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10

from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.plan_figures import Line, short_tokens, users_figure
from planner.report.charts.svg import (
    Labels,
    Scale,
    diamond,
    dot,
    figure,
    line,
    path,
    power_of_ten,
    text,
)
from planner.report.phrases import Phrases

WIDTH, HEIGHT = 760.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 152.0, 28.0, 46.0


def users_svg(t: Phrases, plan: Plan, points: Sequence[UsersPoint]) -> str:
    """One ``svg`` element; both axes are logarithmic, a context without room is left out."""
    shown = users_figure(plan, points)
    counts = [n for _, n in (*shown.own, *shown.wide)] + [shown.batch]
    x = Scale(
        points[0].context, max(points[-1].context, 2 * points[0].context), LEFT, WIDTH - RIGHT, True
    )
    y = Scale(
        10.0 ** floor(log10(min(counts))),
        10.0 ** ceil(log10(max(counts)) + 0.02),
        HEIGHT - BOTTOM,
        TOP,
        True,
    )
    label, batch = Labels(WIDTH), t("users.batch", n=words.count(shown.batch))
    at = x(shown.context), y(shown.batch)
    return figure(
        "users",
        WIDTH,
        HEIGHT,
        t("users.title"),
        t("users.label", n=len(points)),
        (
            *_grid(t, x, y, shown.ticks),
            *_line(x, y, "wide", t("users.wide"), shown.wide, label),
            *_line(x, y, "narrow", t("users.own"), shown.own, label),
            diamond("mine", *at, 7.5, batch),
            label(at[0], at[1] - 9, batch, "own"),
        ),
    )


def _grid(t: Phrases, x: Scale, y: Scale, ticks: Sequence[int]) -> Iterator[str]:
    low = HEIGHT - BOTTOM
    for context in ticks:
        at = x(context)
        yield line("grid", at, low, at, TOP) + text(at, low + 17, short_tokens(context), "middle")
    for power in range(round(log10(y.low)), round(log10(y.high)) + 1):
        at = y(10.0**power)
        yield line("grid", LEFT, at, WIDTH - RIGHT, at) + text(
            LEFT - 7, at + 4, power_of_ten(power), "end"
        )
    yield text(WIDTH - RIGHT, HEIGHT - 10, t("users.x"), "end", "name")
    yield text(LEFT, TOP - 12, t("users.y"), "start", "name")


def _line(x: Scale, y: Scale, kind: str, name: str, shown: Line, label: Labels) -> Iterator[str]:
    if not shown:
        return
    yield path(kind, [(x(context), y(n)) for context, n in shown])
    for context, n in shown:
        yield dot(f"{kind} dot", x(context), y(n), 3.5, f"{short_tokens(context)}: {n:,}")
    yield label(x(shown[-1][0]), y(shown[-1][1]), name, kind)
