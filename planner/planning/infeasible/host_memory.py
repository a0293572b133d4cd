"""Whether the memory of a host is what a plan lacks, and how much of it would do."""

from __future__ import annotations

from planner.base.errors import InfeasibleError
from planner.base.units import format_bytes
from planner.messages.message import message
from planner.planning.infeasible.case import Unserved
from planner.planning.price.price import host_bytes_of, price
from planner.planning.search.engine_search import best_result

PLENTY = 1 << 60


def host_memory_refusal(case: Unserved) -> InfeasibleError | None:
    """The refusal of a question that has a plan with more memory in its host; None where that is
    not what is missing."""
    own = case.first.offload
    if own is None:
        return None
    result = best_result(case.at({"host_memory_bytes": PLENTY}))
    if result is None:
        return None
    needed = host_bytes_of(result.space, price(result.space, result.candidate, result.segments))
    return InfeasibleError(
        message(
            "refusals.host_memory",
            x=message(
                "refusals.best_plan_keeps_there_of",
                a=format_bytes(needed),
                b=format_bytes(own.memory_bytes),
                n=own.sockets,
                c=own.host.id,
            ),
        ),
        hint=message(
            "refusals.host_memory_bytes_host_sockets"
            if own.sockets < own.host.devices_per_node
            else "refusals.host_memory_bytes_or_device",
            n=needed,
        ),
    )
