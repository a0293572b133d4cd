"""What so many replicas serve within a service level: more of them share requests better."""

from __future__ import annotations

from collections.abc import Callable

from planner.sizing.level import saturation_rate
from planner.sizing.rank import ServedRank
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import ServiceLevel

CLOSE = 1.004
"""Rates are found to so much, from below."""
STEP = 1.01


def rates_by_replicas(
    rank: ServedRank, rate: float, router: str, level: ServiceLevel, fewest: int, *, most: int = 0
) -> tuple[tuple[int, float], ...]:
    """(replicas, requests a second of each) for 1, 2, 4 … replicas up to ``fewest``, which serve
    ``rate``, and on to ``most``. Between two of them the smaller one's pace holds, as what some
    replicas serve more do too."""
    ceiling = rank.ranks * saturation_rate(rank)
    out: list[tuple[int, float]] = []
    for replicas in _counts(fewest, most):
        low = out[-1][1] if out else 0.0
        if replicas == fewest:
            low = max(low, rate / fewest)
        out.append((replicas, _most(rank, router, level, replicas, low, ceiling)))
    return tuple((n, each) for n, each in out if each > 0)


def _most(
    rank: ServedRank, router: str, level: ServiceLevel, replicas: int, low: float, ceiling: float
) -> float:
    """Requests a second that each of so many replicas serves, at least ``low``. What keeps TPOT is
    found first: TTFT takes long, and is often not what ends it."""

    def group(each: float) -> ReplicaGroup:
        return ReplicaGroup(rank, replicas * each, router)

    paced = largest_feasible(
        lambda each: group(each).keeps_tpot(replicas, level), low, max(ceiling, low)
    )
    if paced <= low or group(paced).keeps(replicas, level):
        return paced
    return largest_feasible(lambda each: group(each).keeps(replicas, level), low, paced)


def _counts(fewest: int, most: int) -> list[int]:
    """Powers of two up to the larger, and ``fewest``."""
    top = max(fewest, most)
    return sorted({fewest, *(1 << i for i in range(top.bit_length()) if 1 << i <= top)})


def largest_feasible(keeps: Callable[[float], bool], low: float, ceiling: float) -> float:
    """The largest value that ``keeps``, to a share of CLOSE and from below: ``low`` is kept (0:
    whatever it is), nothing above ``ceiling``, and what is kept is so below it too."""
    high, step = low * STEP if low > 0 else ceiling / 2, STEP
    while high < ceiling and keeps(high):
        low, step = high, step * step
        high = min(high * step if low > 0 else ceiling, ceiling)
    high = min(high, ceiling)
    while high > max(low * CLOSE, ceiling * 1e-3):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
