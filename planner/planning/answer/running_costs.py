"""What a plan costs to run: energy and money a token, and replicas for a rate of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planner.planning.plan.record import Assumption
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.throughput.energy import activity, energy, replicas_for, usd_per_million_tokens


def running_costs(question: Question, priced: Priced) -> Iterator[Assumption]:
    """Energy where the device states its power, money where a price is known, replicas where a
    rate of requests is given; estimates with their basis."""
    ranks, tpot, batch = priced.layout.ranks, priced.tpot, priced.batch
    found = energy(question.device, activity_share=_activity(priced), devices=ranks,
                   tpot_seconds=tpot, batch=batch)
    if found is not None:
        yield Assumption(
            "energy", f"{found.joules_per_token:.3g} J per output token ({found.low:.2g}–"
            f"{found.high:.2g}), {found.watts:.0f} W a device (estimate, basis prior)",
            f"power limit of {question.device.id} by what bounds each kernel; {found.source}")
    if question.price_per_hour is not None:
        money = usd_per_million_tokens(question.price_per_hour, ranks, tpot, batch)
        yield Assumption(
            "price", f"{question.price_per_hour:.2f} USD a device-hour: "
            f"{money:.3g} USD per million output tokens",
            "the profile's or scenario's price; set host.price_usd_per_hour for your own")
    if question.requests_per_s is not None:
        count, each = replicas_for(question.requests_per_s, question.workload.osl, tpot, batch)
        yield Assumption(
            "replicas", f"{count} of {ranks} devices for {question.requests_per_s:g} requests/s",
            f"{each:.3g} requests/s a replica at its full batch; no margin for bursts")


def _activity(priced: Priced) -> float:
    """Of a token's time: decode steps, and the prompts that interrupt them."""
    share = priced.interruption / priced.tpot if priced.tpot > 0 else 0.0
    return (1.0 - share) * activity(_kernels(priced, "decode")) \
        + share * activity(_kernels(priced, "mixed"))


def _kernels(priced: Priced, phase: str) -> Iterator[tuple[Mapping[str, float], float]]:
    for cost in priced.costs:
        yield getattr(cost, phase), float(cost.segment.count)
