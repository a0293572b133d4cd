"""Users that fit against the length of a context, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Plan

Line = tuple[tuple[int, int], ...]
"""(context [tokens], sequences of all replicas)."""


@dataclass(frozen=True, slots=True)
class UsersFigure:
    """Lines of the plan's caches and of BF16 ones (empty where they hold as many), contexts without
    room left out; ``batch`` is the plan's, at ``context``. ``ticks`` are powers of two."""

    own: Line
    wide: Line
    batch: int
    context: int
    ticks: tuple[int, ...]


def users_figure(plan: Plan, found: Sequence[UsersPoint]) -> UsersFigure:
    """The numbers of the figure, ``found`` by rising context."""
    same = all(point.users == point.wide_users for point in found)
    return UsersFigure(
        tuple((p.context, p.users) for p in found if p.users > 0),
        () if same else tuple((p.context, p.wide_users) for p in found if p.wide_users > 0),
        plan.workload.batch * plan.layout.replicas,
        next((p.context for p in found if p.own), plan.workload.context_tokens),
        tuple(p.context for p in found if p.context & (p.context - 1) == 0),
    )


def short_tokens(tokens: int) -> str:
    """Tokens in units of 1,024 where they are whole."""
    return f"{tokens // 1024:,}Ki" if tokens >= 1024 and tokens % 1024 == 0 else f"{tokens:,}"
