"""Users that fit against the length of a context, with the plan's caches and with BF16 ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10

from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.drawing.svg import Labels, Scale, decade, diamond, dot, figure, line, path, text
from planner.report.phrases import Phrases

WIDTH, HEIGHT = 760.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 152.0, 28.0, 46.0


def users_svg(t: Phrases, plan: Plan, found: Sequence[UsersPoint]) -> str:
    """One ``svg`` element; both axes are logarithmic, a context without room is left out."""
    batch = plan.workload.batch * plan.layout.replicas
    counts = [n for p in found for n in (p.users, p.wide_users) if n > 0] + [batch]
    x = Scale(found[0].context, max(found[-1].context, 2 * found[0].context), LEFT,
              WIDTH - RIGHT, True)
    y = Scale(10.0 ** floor(log10(min(counts))), 10.0 ** ceil(log10(max(counts)) + 0.02),
              HEIGHT - BOTTOM, TOP, True)
    label = Labels(WIDTH)
    own = next((p.context for p in found if p.own), plan.workload.context_tokens)
    return figure("users", WIDTH, HEIGHT, t("users.title"), t("users.label", n=len(found)), (
        *_grid(t, x, y, found),
        *(_line(x, y, "wide", t("users.wide"), [(p.context, p.wide_users) for p in found], label)
          if any(p.users != p.wide_users for p in found) else ()),
        *_line(x, y, "narrow", t("users.own"), [(p.context, p.users) for p in found], label),
        diamond("mine", x(own), y(batch), 7.5, t("users.batch", n=words.count(batch))),
        label(x(own), y(batch) - 9, t("users.batch", n=words.count(batch)), "own")))


def _grid(t: Phrases, x: Scale, y: Scale, found: Sequence[UsersPoint]) -> Iterator[str]:
    low = HEIGHT - BOTTOM
    for point in found:
        if point.context & (point.context - 1) == 0:
            at = x(point.context)
            yield line("grid", at, low, at, TOP) + text(at, low + 17, short(point.context),
                                                        "middle")
    for power in range(round(log10(y.low)), round(log10(y.high)) + 1):
        at = y(10.0**power)
        yield line("grid", LEFT, at, WIDTH - RIGHT, at) + text(LEFT - 7, at + 4, decade(power),
                                                               "end")
    yield text(WIDTH - RIGHT, HEIGHT - 10, t("users.x"), "end", "name")
    yield text(LEFT, TOP - 12, t("users.y"), "start", "name")


def _line(x: Scale, y: Scale, kind: str, name: str, values: Sequence[tuple[int, int]],
          label: Labels) -> Iterator[str]:
    shown = [(context, n) for context, n in values if n > 0]
    if not shown:
        return
    yield path(kind, [(x(context), y(n)) for context, n in shown])
    for context, n in shown:
        yield dot(f"{kind} dot", x(context), y(n), 3.5, f"{short(context)}: {n:,}")
    yield label(x(shown[-1][0]), y(shown[-1][1]), name, kind)


def short(tokens: int) -> str:
    """Tokens in units of 1,024 where they are whole."""
    return f"{tokens // 1024:,}Ki" if tokens >= 1024 and tokens % 1024 == 0 else f"{tokens:,}"
