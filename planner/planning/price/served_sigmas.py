"""How sure served times are: what operators make of TPOT, TTFT and throughput, by their shares.

The one derivation of every interval: a plan's, ``serve``'s and those of ``validate``. Parts of a
time err together. Beside operators stands what composed times of the kind were measured to be off
by (:mod:`planner.planning.price.measured_errors`).
"""

from __future__ import annotations

from math import exp, hypot, inf
from typing import Protocol

from planner.base.records import record
from planner.planning.price.physical_limits import PhysicalLimits

Z80 = 1.2815515655446004
"""80 % of a normal distribution lies within ±1.2816 standard deviations."""
HOST_SIGMA = 0.30
"""Of the host's time a step, which one engine version supplies to others."""


class Served(Protocol):
    """A loop at rest: seconds of a token, of it in prompts and of the host, and of the first
    token."""

    @property
    def tpot(self) -> float: ...
    @property
    def ttft(self) -> float: ...
    @property
    def interruption(self) -> float: ...
    @property
    def host(self) -> float: ...


@record
class Shares:
    """Of TPOT what ``prompts`` in between and the ``host`` take; of a request's time what goes by
    before its ``first`` token."""

    prompts: float = 0.0
    host: float = 0.0
    first: float = 0.0


@record
class Sigmas:
    """Log-space standard deviations of TPOT, TTFT and throughput."""

    tpot: float
    ttft: float
    throughput: float

    def plus(self, other: Sigmas) -> Sigmas:
        """Of independent errors together."""
        return Sigmas(
            hypot(self.tpot, other.tpot),
            hypot(self.ttft, other.ttft),
            hypot(self.throughput, other.throughput),
        )


def shares_of(served: Served, osl: int) -> Shares:
    """The shares of a loop of ``osl`` tokens a request."""
    return Shares(
        served.interruption / served.tpot,
        served.host / served.tpot,
        first_share(served.ttft, served.tpot, osl),
    )


def first_share(ttft: float, tpot: float, osl: int) -> float:
    """The share of a request's time before its first token."""
    return ttft / (ttft + osl * tpot)


def of_operators(step: float, prompt: float, shares: Shares) -> Sigmas:
    """What operators make of a loop, where they make ``step`` of a decode step and ``prompt`` of
    reading a prompt."""
    tpot = (
        (1.0 - shares.prompts - shares.host) * step
        + shares.prompts * prompt
        + shares.host * HOST_SIGMA
    )
    return Sigmas(tpot, prompt, (1.0 - shares.first) * tpot + shares.first * prompt)


def interval(
    value: float, sigma: float, *, least: float = 0.0, most: float = inf
) -> tuple[float, float]:
    """The 80 % interval of ``value``, cut at the ``least`` and the ``most`` that the device can do
    (:mod:`planner.planning.price.physical_limits`)."""
    factor = factor_of(sigma)
    return cut(value, value / factor, value * factor, least=least, most=most)


def ends_of(
    tpot: float, ttft: float, rate: float, sigmas: Sigmas, limits: PhysicalLimits
) -> tuple[tuple[float, float], ...]:
    """The 80 % intervals of TPOT, TTFT and the rate of a replica, within its physical limits."""
    return (
        interval(tpot, sigmas.tpot, least=limits.tpot),
        interval(ttft, sigmas.ttft, least=limits.ttft),
        interval(rate, sigmas.throughput, most=limits.rate),
    )


def factor_of(sigma: float) -> float:
    """×/÷ of the 80 % interval of a log-space deviation."""
    return exp(Z80 * sigma)  # the last bit of numpy's depends on its version


def cut(
    value: float, low: float, high: float, *, least: float = 0.0, most: float = inf
) -> tuple[float, float]:
    """``low`` and ``high`` between ``least`` and ``most``; ``value`` stays inside."""
    return max(low, min(least, value)), min(high, max(most, value))
