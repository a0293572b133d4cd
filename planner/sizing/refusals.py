"""Why a service level is not kept, and what would do."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from planner.base.errors import InfeasibleError
from planner.base.units import format_seconds
from planner.messages.message import message
from planner.sizing.deployable import Deployable
from planner.sizing.options import SizedDeployable, compromises, rounded_up
from planner.sizing.replicas import MOST_REPLICAS, ServiceLevel, max_request_rate, unloaded_times

ROOM = 1.1
"""A limit that is hinted at is this much above what one request takes, so that some load fits."""


def no_replica(ones: Sequence[Deployable], level: ServiceLevel) -> InfeasibleError:
    """No number of replicas that is looked at keeps ``level``: not one alone, or too many."""
    best = min(
        (unloaded_times(deployable.rank) for deployable in ones),
        key=lambda pair: (max(_over(pair[0], level.ttft), _over(pair[1], level.tpot)), pair),
        default=None,
    )
    if best is None:
        return InfeasibleError(
            "no layout holds a request", hint="use devices with more memory, or shorter requests"
        )
    if max(_over(best[0], level.ttft), _over(best[1], level.tpot)) <= 1:
        return InfeasibleError(
            f"more than {MOST_REPLICAS:,} replicas would be needed to keep {limits(level)} for "
            f"{level.percentile:g} % of requests",
            hint="a lower rate, or a wider limit: one that meets no other is within it",
        )
    text = " and ".join(
        f"{name} {format_seconds(value)}"
        for name, value, limit in (("TTFT", best[0], level.ttft), ("TPOT", best[1], level.tpot))
        if limit is not None
    )
    flags = " ".join(
        f"--{name}-ms {_ms(max(value * ROOM, limit))}"
        for name, value, limit in (("ttft", best[0], level.ttft), ("tpot", best[1], level.tpot))
        if limit is not None
    )
    return InfeasibleError(
        message(
            "refusals.no_replica_keeps_for_of",
            level=limits(level),
            percentile=f"{level.percentile:g}",
            c=text,
        ),
        hint=f"{flags} would do at a low load; more devices a replica "
        "(--tp), narrower formats (--max-loss) or another device may",
    )


def _over(value: float, limit: float | None) -> float:
    return 0.0 if limit is None else value / limit


def _ms(seconds: float) -> str:
    return f"{rounded_up(seconds) * 1e3:.6g}"


def limits(level: ServiceLevel) -> str:
    """The limits in words."""
    return " and ".join(
        f"{name} ≤ {format_seconds(value)}"
        for name, value in (("TTFT", level.ttft), ("TPOT", level.tpot))
        if value is not None
    )


def too_many(
    best: SizedDeployable,
    looked: Sequence[SizedDeployable],
    most: int,
    level: ServiceLevel,
) -> InfeasibleError:
    """More devices are needed than there are."""
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
    ways = [f"--max-devices {best.devices}"]
    if rate := _down(served):
        ways.append(f"--rate {rate} (what {most} serve)")
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
        hint="; ".join(ways),
    )


def _down(rate: float) -> str:
    """Rounded down to three digits; empty for none."""
    if not rate > 0:
        return ""
    step = 10.0 ** (floor(log10(rate)) - 2)
    return f"{floor(rate / step) * step:.6g}"
