"""Requests that come whether others are served or not, in a plan file: the rate that a plan was
sized for, and its times there."""

from __future__ import annotations

from planner.base.records import cached_record
from planner.planning.plan.evidence import Estimate


@cached_record
class TimesAtPercentile:
    """Times that a ``percentile`` of requests keeps, with their 80 % intervals; ``e2e_seconds`` of
    a whole request."""

    percentile: float
    ttft_seconds: Estimate
    tpot_seconds: Estimate
    e2e_seconds: Estimate


@cached_record
class LimitAtPercentile:
    """``seconds`` that a ``percentile`` of requests keeps of ``what``: TTFT, TPOT or E2E."""

    what: str
    seconds: float
    percentile: float


@cached_record
class OpenArrivals:
    """Poisson arrivals of ``requests_per_second`` over the whole deployment, shared among replicas
    by the ``router``. ``load`` is the share of the most that they serve without end, ``sequences``
    the requests that a replica holds on average. ``limits`` are those that are kept, by
    ``percentile`` of requests where they have none of their own, ``times`` those of the
    percentiles. ``devices_low`` and
    ``devices_high`` are those that steps as short and as long as their 80 % interval need (None: no
    number keeps the limits)."""

    requests_per_second: float
    router: str
    load: float
    sequences: float
    percentile: float
    limits: tuple[LimitAtPercentile, ...]
    times: tuple[TimesAtPercentile, ...]
    devices_low: int | None
    devices_high: int | None

    def limit_of(self, what: str) -> LimitAtPercentile | None:
        """The limit on TTFT, TPOT or E2E."""
        return next((limit for limit in self.limits if limit.what == what), None)
