"""What a plan costs to run: energy and money a token, and replicas for a rate of requests."""

from __future__ import annotations

from collections.abc import Iterator

from planner.planning.plan.record import Assumption
from planner.planning.price.price import Priced
from planner.planning.price.token_costs import energy_of
from planner.planning.question.question import Question
from planner.throughput.energy import replicas_for, usd_per_million_tokens


def running_costs(question: Question, priced: Priced) -> Iterator[Assumption]:
    """Energy where the device states its power, money where a price is known, replicas where a
    rate of requests is given; estimates with their basis."""
    ranks, tpot, batch = priced.layout.ranks, priced.tpot, priced.batch
    found = energy_of(question, priced)
    if found is not None:
        yield Assumption(
            "energy",
            f"{found.joules_per_token:.3g} J per output token ({found.low:.2g}–"
            f"{found.high:.2g}), {found.watts:.0f} W a device (estimate, basis prior)",
            f"power limit of {question.device.id} by what bounds each kernel; {found.source}",
        )
    if question.price_per_hour is not None:
        money = usd_per_million_tokens(question.price_per_hour, ranks, tpot, batch)
        yield Assumption(
            "price",
            f"{question.price_per_hour:.2f} USD a device-hour: "
            f"{money:.3g} USD per million output tokens",
            "the profile's or scenario's price; set host.price_usd_per_hour for your own",
        )
    if question.requests_per_s is not None:
        count, each = replicas_for(question.requests_per_s, question.workload.osl, tpot, batch)
        yield Assumption(
            "replicas",
            f"{count} of {ranks} devices for {question.requests_per_s:g} requests/s",
            f"{each:.3g} requests/s a replica at its full batch; no margin for bursts",
        )
