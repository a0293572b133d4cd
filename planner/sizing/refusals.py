"""Why a service level is not kept, and what would do."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import InfeasibleError
from planner.base.units import format_seconds
from planner.messages.message import LINKED, Text, joined, message
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.sizing.deployable import Deployable
from planner.sizing.options import SizedDeployable, compromises, rounded_down, rounded_up
from planner.sizing.replicas import MOST_REPLICAS, max_request_rate, unloaded_times
from planner.sizing.service_level import ServiceLevel

ROOM = 1.1
"""A limit that is hinted at is this much above what one request takes, so that some load fits."""


def no_replica(ones: Sequence[Deployable], level: ServiceLevel) -> InfeasibleError:
    """No number of replicas that is looked at keeps ``level``: not one alone, or too many."""
    best = min(
        (unloaded_times(deployable.rank) for deployable in ones),
        key=lambda times: (level.used(times), times.ttft, times.tpot),
        default=None,
    )
    if best is None:
        return InfeasibleError(
            message("refusals.no_layout_holds_request"),
            hint=message("refusals.use_devices_with_more_memory_or"),
        )
    if level.used(best) <= 1:
        return InfeasibleError(
            message(
                "refusals.too_many_replicas",
                n=f"{MOST_REPLICAS:,}",
                level=limits(level),
                percentile=f"{level.percentile:g}",
            ),
            hint=message("refusals.lower_rate_or_wider_limit"),
        )
    text = joined(
        [f"{limit.what} {format_seconds(best.of(limit.what))}" for limit in level.limits], LINKED
    )
    flags = " ".join(
        f"--{limit.what.lower()}-ms {_at(level, limit)}"
        f"{_ms(max(best.of(limit.what) * ROOM, limit.seconds))}"
        for limit in level.limits
    )
    return InfeasibleError(
        message(
            "refusals.no_replica_keeps_for_of",
            level=limits(level),
            percentile=f"{level.percentile:g}",
            c=text,
        ),
        hint=message("refusals.would_do_at_low_load", flags=flags),
    )


def _at(level: ServiceLevel, limit: LimitAtPercentile) -> str:
    """``p99:`` where a limit is on another percentile than that of the level."""
    return "" if limit.percentile == level.percentile else f"p{limit.percentile:g}:"


def _ms(seconds: float) -> str:
    return f"{rounded_up(seconds) * 1e3:.6g}"


def limits(level: ServiceLevel) -> Text:
    """The limits in words."""
    return joined(
        [
            f"{_at(level, limit).replace(':', ' ')}{limit.what} ≤ {format_seconds(limit.seconds)}"
            for limit in level.limits
        ],
        LINKED,
    )


def too_many(
    best: SizedDeployable,
    looked: Sequence[SizedDeployable],
    most: int,
    level: ServiceLevel,
    flag: str,
) -> InfeasibleError:
    """More devices are needed than the ``flag`` says there are."""
    served = max(
        (
            max_request_rate(
                s.deployable.rank, most // s.deployable.layout.ranks, s.group.router, level
            )
            for s in looked
            if most >= s.deployable.layout.ranks
        ),
        default=0.0,
    )
    ways: list[Text] = [f"{flag} {best.devices}"]
    if served > 0:
        rate = rounded_down(served)
        ways.append(message("refusals.rate_that_they_serve", rate=rate, most=most))
    growth = min(
        (s.group.growth(most // s.deployable.layout.ranks) for s in looked), default=best.group.rate
    )
    if growth > 0:
        ways.append(message("refusals.queue_would_grow", most=most, growth=f"{growth:.3g}"))
    ways += [compromise.text for compromise in compromises(best, looked, level, None, most=most)][
        :1
    ]
    return InfeasibleError(
        message(
            "refusals.devices_are_needed_for_requests",
            devices=best.devices,
            rate=f"{best.group.rate:g}",
            level=limits(level),
            percentile=f"{level.percentile:g}",
            most=most,
        ),
        hint=joined(ways),
    )
