"""What a plan costs to run: energy and money a token, and replicas for a rate of requests."""

from __future__ import annotations

from collections.abc import Iterator

from planner.messages.message import Note, message
from planner.planning.price.price import Priced
from planner.planning.price.token_costs import energy_of
from planner.planning.question.prices import price_reason
from planner.planning.question.question import Question
from planner.throughput.energy import replicas_for, usd_per_million_tokens


def running_costs(question: Question, priced: Priced) -> Iterator[Note]:
    """Energy where the device states its power, money where a price is known, replicas where a
    rate of requests is given; estimates with their basis."""
    ranks, rate = priced.layout.ranks, priced.rate
    energy = energy_of(question, priced)
    if energy is not None:
        yield Note(
            "energy",
            message(
                "assumptions.j_per_output_token_w",
                joules_per_token=f"{energy.joules_per_token:.3g}",
                low=f"{energy.low:.2g}",
                high=f"{energy.high:.2g}",
                watts=f"{energy.watts:.0f}",
            ),
            message(
                "assumptions.power_limit_of_by_what_bounds",
                d=question.device.id,
                source=energy.source,
            ),
        )
    if question.price_per_hour is not None:
        money = usd_per_million_tokens(question.price_per_hour, ranks, rate)
        yield Note(
            "price",
            message(
                "assumptions.usd_device_hour_usd_per",
                price_per_hour=f"{question.price_per_hour:.2f}",
                money=f"{money:.3g}",
            ),
            price_reason(question.device),
        )
    if question.requests_per_s is not None:
        count, each = replicas_for(question.requests_per_s, question.workload.osl, rate)
        yield Note(
            "replicas",
            message(
                "assumptions.of_devices_for_requests_s",
                count=count,
                ranks=ranks,
                requests_per_s=f"{question.requests_per_s:g}",
            ),
            message("assumptions.requests_s_replica_at_its", r=f"{each:.3g}"),
        )
