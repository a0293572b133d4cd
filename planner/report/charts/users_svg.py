"""Users that fit against the length of a context, with the plan's caches and with BF16 ones."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.chart import OWN, PLAIN, SOFT, Chart, ChartAxis, Mark, PointMarks, Words
from planner.report.charts.drawing import drawn
from planner.report.charts.plan_figures import short_tokens, users_figure
from planner.report.charts.svg import decades
from planner.report.phrases import Phrases


def users_svg(t: Phrases, plan: Plan, points: Sequence[UsersPoint]) -> str:
    """One ``svg`` element."""
    return drawn(users_chart(t, plan, points))


def users_chart(t: Phrases, plan: Plan, points: Sequence[UsersPoint]) -> Chart:
    """Both axes are logarithmic, a context without room is left out."""
    shown = users_figure(plan, points)
    counts = [n for _, n in (*shown.own, *shown.wide)] + [shown.batch]
    low, high = floor(log10(min(counts))), ceil(log10(max(counts)) + 0.02)
    marks: list[Mark] = []
    for places, kind, name, colour, dashed in (
        (shown.wide, "wide", t("users.wide"), SOFT, True),
        (shown.own, "narrow", t("users.own"), OWN, False),
    ):
        if places:
            tips = tuple(f"{short_tokens(context)}: {n:,}" for context, n in places)
            line = "--" if dashed else "-"
            marks += [
                PointMarks(places, colour, size=5.3, line=line, tips=tips, kind=kind),  # type: ignore[arg-type]
                Words(*places[-1], name, 8, colour, offset=(7, -3), beside=True, kind=kind),
            ]
    at, batch = (shown.context, shown.batch), t("users.batch", n=words.count(shown.batch))
    marks += [
        PointMarks((at,), PLAIN, "D", 11.4, tips=(batch,), above=True, kind="mine"),
        Words(*at, batch, 8, PLAIN, offset=(7, 4), beside=True, kind="own"),
    ]
    return Chart(
        t("users.title"),
        ChartAxis(
            t("users.x"),
            "log2",
            (points[0].context, max(points[-1].context, 2 * points[0].context)),
            tuple((context, short_tokens(context)) for context in shown.ticks),
        ),
        ChartAxis(t("users.y"), "log", (10.0**low, 10.0**high), decades(low, high)),
        tuple(marks),
        t("users.label", n=len(points)),
        (8.0, 4.0),
        grid="both",
        kind="users",
        aside=152.0,
    )
