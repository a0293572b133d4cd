"""Limits on times that a percentile of requests keeps."""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.planning.question.percentile_limits import LimitAt
from planner.sizing.level import PercentileTimes

ROUNDING = 1e-9
TTFT, TPOT, E2E = "TTFT", "TPOT", "E2E"


@record
class ServiceLevel:
    """Times [s] that a share of requests keeps: ``ttft``, ``tpot`` and ``e2e`` of a whole request
    (None: any), ``percentile`` between 0 and 100; those of a time that has one of its own."""

    ttft: float | None
    tpot: float | None
    percentile: float
    e2e: float | None = None
    ttft_percentile: float | None = None
    tpot_percentile: float | None = None
    e2e_percentile: float | None = None

    def share(self, what: str) -> float:
        """The percentile of a time as a share."""
        own = {TTFT: self.ttft_percentile, TPOT: self.tpot_percentile, E2E: self.e2e_percentile}
        return (own[what] or self.percentile) / 100.0

    @property
    def limits(self) -> tuple[LimitAtPercentile, ...]:
        """Those that there are."""
        return tuple(
            LimitAtPercentile(what, seconds, 100.0 * self.share(what))
            for what, seconds in ((TTFT, self.ttft), (TPOT, self.tpot), (E2E, self.e2e))
            if seconds is not None
        )

    @property
    def alike(self) -> bool:
        """Whether all limits are on one percentile."""
        return len({limit.percentile for limit in self.limits}) < 2

    def lowered(self, percentile: float) -> ServiceLevel:
        """The same for ``percentile`` of requests, where all limits are on one."""
        return replace(
            self,
            percentile=percentile,
            ttft_percentile=None,
            tpot_percentile=None,
            e2e_percentile=None,
        )

    def keeps_tpot(self, seconds: float) -> bool:
        """Whether a TPOT is within the limit."""
        return self.tpot is None or seconds <= self.tpot * (1 + ROUNDING)

    def keeps(self, times: PercentileTimes | None) -> bool:
        """Whether all times are within their limits."""
        return times is not None and self.used(times) <= 1 + ROUNDING

    def used(self, times: PercentileTimes) -> float:
        """The largest share of its limit that a time takes."""
        return max(
            (times.of(limit.what) / limit.seconds for limit in self.limits),
            default=0.0,
        )


def level_of(
    first: LimitAt | None, each: LimitAt | None, request: LimitAt | None, percentile: float
) -> ServiceLevel:
    """The level that limits on TTFT, TPOT and a whole request make, at ``percentile`` where they
    have none of their own."""
    seconds = [None if limit is None else limit.seconds for limit in (first, each, request)]
    own = [None if limit is None else limit.percentile for limit in (first, each, request)]
    return ServiceLevel(seconds[0], seconds[1], percentile, seconds[2], *own)
