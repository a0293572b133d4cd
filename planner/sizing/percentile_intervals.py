"""How sure times at a percentile are: the 80 % interval of the step times, carried over."""

from __future__ import annotations

from math import hypot, log
from statistics import NormalDist

from planner.planning.plan.record import Estimate
from planner.planning.price.intervals import limits_of
from planner.planning.price.measured_errors import Z80
from planner.planning.price.physical_limits import PhysicalLimits
from planner.planning.price.served_sigmas import Sigmas, interval
from planner.planning.question.time_limits import request_seconds
from planner.sizing.deployable import Deployable
from planner.sizing.level import PercentileTimes


def percentile_estimates(
    deployable: Deployable, times: PercentileTimes
) -> tuple[Estimate, Estimate, Estimate]:
    """(TTFT, TPOT, a whole request) at the percentile with the 80 % intervals of the step times."""
    basis = deployable.spread(times.in_flight).basis
    sigmas = deployable.sigmas(max(times.in_flight, 1.0))
    limits = limits_of(deployable.assignment.model, deployable.priced)
    return (
        Estimate(times.ttft, *interval(times.ttft, sigmas.ttft, least=limits.ttft), basis),
        Estimate(times.tpot, *interval(times.tpot, sigmas.tpot, least=limits.tpot), basis),
        _request_estimate(deployable, times, sigmas, limits, basis),
    )


def _request_estimate(
    deployable: Deployable,
    times: PercentileTimes,
    sigmas: Sigmas,
    limits: PhysicalLimits,
    basis: str,
) -> Estimate:
    """A whole request: errors of its first token and of its pace by their shares of its time."""
    read = min(times.ttft / times.e2e, 1.0)
    sigma = hypot(read * sigmas.ttft, (1.0 - read) * sigmas.tpot)
    least = request_seconds(limits.ttft, limits.tpot, deployable.rank.osl)
    return Estimate(times.e2e, *interval(times.e2e, sigma, least=least), basis)


def chance_kept(estimate: Estimate, limit: float | None) -> float | None:
    """The chance that a time is within its limit, log-normal in its 80 % interval; None without a
    limit. Its upper end tells how wide it is: the lower one may be cut at what devices can do."""
    if limit is None:
        return None
    sigma = log(estimate.high / estimate.value) / Z80
    if sigma <= 0:
        return float(estimate.value <= limit)
    return NormalDist().cdf(log(limit / estimate.value) / sigma)
