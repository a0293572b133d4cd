"""How sure times at a percentile are: the 80 % interval of the step times, carried over."""

from __future__ import annotations

from math import exp

from planner.planning.plan.record import Estimate
from planner.sizing.deployable import Deployable, interval_factor
from planner.sizing.level import PercentileTimes
from planner.throughput.serving import SteadyState


def percentile_estimates(
    deployable: Deployable, times: PercentileTimes
) -> tuple[Estimate, Estimate]:
    """(TTFT, TPOT) at the percentile with the 80 % intervals of the step times."""
    sure = deployable.spread(times.in_flight)
    state = SteadyState(times.tpot, times.ttft, max(times.in_flight, 1.0), 0.0, 0.0, 0.0, False)
    return (
        _estimate(times.ttft, sure.ttft, sure.basis),
        _estimate(times.tpot, sure.tpot(state), sure.basis),
    )


def _estimate(value: float, sigma: float, basis: str) -> Estimate:
    factor = exp(interval_factor(sigma))
    return Estimate(value, value / factor, value * factor, basis)
