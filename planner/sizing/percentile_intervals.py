"""How sure times at a percentile are: the 80 % interval of the step times, carried over."""

from __future__ import annotations

from planner.planning.plan.record import Estimate
from planner.planning.price.served_sigmas import interval
from planner.sizing.deployable import Deployable
from planner.sizing.level import PercentileTimes


def percentile_estimates(
    deployable: Deployable, times: PercentileTimes
) -> tuple[Estimate, Estimate]:
    """(TTFT, TPOT) at the percentile with the 80 % intervals of the step times."""
    basis = deployable.spread(times.in_flight).basis
    sigmas = deployable.sigmas(max(times.in_flight, 1.0))
    return (
        Estimate(times.ttft, *interval(times.ttft, sigmas.ttft), basis),
        Estimate(times.tpot, *interval(times.tpot, sigmas.tpot), basis),
    )
