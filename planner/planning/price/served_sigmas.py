"""How sure served times are: what operators make of TPOT, TTFT and throughput, by their shares.

The one derivation of every interval: a plan's, ``serve``'s and those of ``validate``. Parts of a
time err together. Beside operators stands what composed times of the kind were measured to be off
by (:mod:`planner.planning.price.measured_errors`).
"""

from __future__ import annotations

from math import exp, hypot
from typing import Protocol

from planner.base.records import record

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


def interval(value: float, sigma: float) -> tuple[float, float]:
    """The 80 % interval of ``value``."""
    factor = exp(Z80 * sigma)
    return value / factor, value * factor
