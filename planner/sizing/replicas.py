"""The fewest replicas that keep a service level, and the most requests that some keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from math import ceil

from planner.scheduler.rules import RANDOM
from planner.sizing.level import (
    PercentileTimes,
    percentile_times,
    rank_load,
    saturation_rate,
    tpot_percentile,
)
from planner.sizing.rank import NEVER, ServedRank
from planner.sizing.service_level import ROUNDING, TPOT, ServiceLevel

MOST_REPLICAS = 1 << 17
HALVINGS = 40
SELDOM = 1e-7
"""Requests a second of which none meets another."""


class ReplicaGroup:
    """Replicas of one kind at ``rate`` requests a second over all of them, chosen from by
    ``router``; what was found is kept."""

    def __init__(
        self,
        rank: ServedRank,
        rate: float,
        router: str,
        *,
        most: int = MOST_REPLICAS,
    ) -> None:
        self.rank, self.rate, self.router, self.most = rank, rate, router, most
        self._known: dict[tuple[int, float], PercentileTimes | None] = {}

    def at(self, replicas: int, share: float) -> PercentileTimes | None:
        """What a ``share`` of requests sees with so many replicas; None where they are too few."""
        if (replicas, share) not in self._known:
            servers = replicas * self.rank.ranks
            self._known[replicas, share] = percentile_times(
                self.rank, self.rate / servers, servers, self.router, share
            )
        return self._known[replicas, share]

    def within(self, replicas: int, level: ServiceLevel) -> PercentileTimes | None:
        """What so many replicas do of the times that ``level`` limits, each at its percentile; the
        rest as at the percentile of most; None where they are too few."""
        times = self.at(replicas, level.percentile / 100.0)
        for limit in level.limits:
            share = level.share(limit.what)
            if times is None or share == level.percentile / 100.0:
                continue
            own = self.at(replicas, share)
            if own is None:
                return None
            times = replace(times, **{limit.what.lower(): own.of(limit.what)})
        return times

    def keeps(self, replicas: int, level: ServiceLevel) -> bool:
        """Whether so many replicas keep ``level``; TPOT is looked at first, as it is cheap."""
        if (replicas, level.share(TPOT)) not in self._known and not self.keeps_tpot(
            replicas, level
        ):
            return False
        return level.keeps(self.within(replicas, level))

    def keeps_tpot(self, replicas: int, level: ServiceLevel) -> bool:
        """Whether so many replicas keep the limit on TPOT, be TTFT what it may."""
        servers = replicas * self.rank.ranks
        load = rank_load(self.rank, self.rate / servers, servers, self.router)
        return load is not None and level.keeps_tpot(tpot_percentile(load, level.share(TPOT))[0])

    @cached_property
    def each(self) -> float:
        """Requests a second that a replica serves at most."""
        return self.rank.ranks * saturation_rate(self.rank)

    def load(self, replicas: int) -> float:
        """The share of the most that so many replicas serve."""
        return self.rate / (replicas * self.each)

    def growth(self, replicas: int) -> float:
        """Requests a second by which the queue of so many replicas grows; 0 where it does not."""
        return max(self.rate - replicas * self.each, 0.0)

    def holds(self, replicas: int, level: ServiceLevel) -> float:
        """Requests a second that so many replicas serve within ``level``; 0 where none."""
        return max_request_rate(self.rank, replicas, self.router, level)

    @property
    def least(self) -> int:
        """Replicas that serve the rate at all."""
        return max(1, ceil(self.rate / self.each * (1 - ROUNDING)))

    def fewest(self, level: ServiceLevel) -> int | None:
        """The fewest replicas that keep ``level``, None where ``most`` do not: from those on that
        keep TPOT, as TTFT takes long."""
        paced = least_that_keeps(lambda n: self.keeps_tpot(n, level), self.least, self.most)
        return (
            None
            if paced is None
            else least_that_keeps(lambda n: self.keeps(n, level), paced, self.most)
        )


def least_that_keeps(keeps: Callable[[int], bool], low: int, most: int) -> int | None:
    """The least number from ``low`` to ``most`` that ``keeps``, as all above it do; None: none."""
    if low > most:
        return None
    bad, good = low - 1, low
    while not keeps(good):
        if good >= most:
            return None
        bad, good = good, min(max(2 * good - low + 1, good + 1), most)
    while good - bad > 1:
        middle = (good + bad) // 2
        bad, good = (bad, middle) if keeps(middle) else (middle, good)
    return good


def max_request_rate(rank: ServedRank, replicas: int, router: str, level: ServiceLevel) -> float:
    """Requests a second that so many replicas serve within ``level``; 0 where none."""
    low, high = 0.0, replicas * rank.ranks * saturation_rate(rank)
    for _ in range(HALVINGS // 2):
        middle = 0.5 * (low + high)
        if ReplicaGroup(rank, middle, router).keeps(replicas, level):
            low = middle
        else:
            high = middle
    return low


def unloaded_times(rank: ServedRank) -> PercentileTimes:
    """What a request that meets no other sees [s]."""
    times = percentile_times(rank, SELDOM, 1, RANDOM, 0.5)
    if times is None:
        return PercentileTimes(NEVER, NEVER, NEVER, NEVER, NEVER, 0.0, 0.0, 0.0)
    return times
