"""What an output token costs: energy where the device states its power, money where a price is
known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planner.planning.plan.record import Estimate
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.throughput.calibration import PRIOR
from planner.throughput.energy import Energy, activity, energy, usd_per_million_tokens


def energy_of(question: Question, priced: Priced) -> Energy | None:
    """Power of one device and energy of an output token; None without a power limit."""
    return energy(
        question.device,
        activity_share=activity_of(priced),
        devices=priced.layout.ranks,
        tokens_per_second=priced.rate,
    )


def joules_estimate(spent: Energy | None) -> Estimate | None:
    """Joules of an output token with their range (of the assumed activities, not of the time)."""
    return (
        None
        if spent is None
        else Estimate(spent.joules_per_token, spent.low, spent.high, PRIOR.basis)
    )


def usd_estimate(
    price_per_hour: float | None,
    ranks: int,
    tokens_per_second: float,
    rate: Estimate,
) -> Estimate | None:
    """USD of a million output tokens of a replica of ``ranks`` devices; its interval is that of the
    ``rate`` of however many replicas. None without a price."""
    if price_per_hour is None:
        return None
    value = usd_per_million_tokens(price_per_hour, ranks, tokens_per_second)
    return Estimate(
        value, value * (rate.value / rate.high), value * (rate.value / rate.low), rate.basis
    )


def activity_of(priced: Priced) -> float:
    """How busy a device is over a token, 0 to 1: decode steps, and the prompts that interrupt
    them."""
    share = priced.interruption / priced.tpot if priced.tpot > 0 else 0.0
    return (1.0 - share) * activity(_kernels(priced, "decode")) + share * activity(
        _kernels(priced, "mixed")
    )


def _kernels(priced: Priced, phase: str) -> Iterator[tuple[Mapping[str, float], float]]:
    for cost in priced.costs:
        yield getattr(cost, phase), float(cost.segment.count)
