"""What a capacity answer takes for granted, each with its reason."""

from __future__ import annotations

from planner.messages.message import Note, message
from planner.planning.serving.notes import host_time_message, prompt_host_message, scheduler_message
from planner.sizing.capacity_record import HOURS_A_MONTH
from planner.sizing.level import DRAWN
from planner.sizing.options import SizedDeployable
from planner.throughput.engine_policy import engine_policy

OF_A_PLAN = ("asked", "devices")
"""Notes of the question that are about the search of one plan."""


def capacity_notes(
    best: SizedDeployable,
    router: str,
    price: float | None,
    *,
    own_price: bool,
) -> tuple[Note, ...]:
    """Arrivals, router, queues, scheduler, memory, money and energy; then what the question
    took."""
    deployable, question = best.deployable, best.deployable.question
    policy, rule = (
        deployable.rank.policy,
        engine_policy(question.engine, question.engine_version, question.device.id),
    )
    queues = (
        message("capacity.ranks_are_queues", router=router)
        if router == DRAWN
        else message("capacity.ranks_hold_equal", router=router)
    )
    out = [
        Note(
            "arrivals",
            message("capacity.poisson_of_one_length"),
            message("capacity.bursts_need_more"),
        ),
        Note("router", queues, "--router"),
        Note(
            "decoding queue",
            message("capacity.processor_sharing", slots=deployable.rank.slots),
            message("capacity.decode_queue_source"),
        ),
        Note(
            "prompt queue",
            message("capacity.bulk_service"),
            message("capacity.prompt_queue_source"),
        ),
        Note(
            "scheduler",
            scheduler_message(policy),
            rule.source,
        ),
        Note(
            "host time",
            host_time_message(policy),
            rule.source,
        ),
        Note("host of a prompt", prompt_host_message(policy), question.prompt_host.source),
        Note(
            "slots",
            message("capacity.requests_a_rank", slots=deployable.slots),
            message("capacity.slots_of_cache", share=f"{policy.reserve:.0%}"),
        ),
        Note(
            "prefill chunk",
            message("capacity.tokens_a_pass", tokens=question.chunk_tokens),
            message("capacity.engine_default_on_device"),
        ),
        Note(
            "month",
            message("capacity.hours_a_month", hours=f"{HOURS_A_MONTH:g}"),
            message("capacity.twelfth_of_a_year"),
        ),
        Note(
            "energy",
            message("capacity.power_by_bound"),
            message("capacity.power_assumption"),
        ),
    ]
    if deployable.layout.pp > 1:
        out.append(
            Note(
                "pipeline stages",
                message(
                    "capacity.micro_batches",
                    stages=deployable.layout.pp,
                    slots=deployable.rank.slots,
                ),
                message("capacity.step_together"),
            )
        )
    if price is not None:
        out.append(
            Note(
                "price",
                message("capacity.usd_a_device_hour", price=f"{price:.2f}"),
                "given" if own_price else message("capacity.price_of_profile"),
            )
        )
    return (*out, *(note for note in question.notes if note[0] not in OF_A_PLAN))
