"""What a capacity answer takes for granted, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from planner.messages.message import Message, Note, message
from planner.planning.question.prices import price_source
from planner.planning.question.question import Question
from planner.planning.serving.notes import host_time_message, prompt_host_message, scheduler_message
from planner.scheduler.rules import RANDOM
from planner.sizing.capacity_record import HOURS_A_MONTH, ReplayCheck
from planner.sizing.deployable import Deployable
from planner.sizing.options import SizedDeployable
from planner.throughput.engine_policy import engine_policy

REPLAY_KEY = "replay"
OF_A_PLAN = ("asked", "devices")
"""Notes of the question that are about the search of one plan."""


def capacity_notes(
    best: SizedDeployable, router: str, check: ReplayCheck | None
) -> tuple[Note, ...]:
    """Arrivals, router, queues, scheduler, memory, money and energy; then what the question
    took."""
    deployable = best.deployable
    return (
        *_queue_notes(deployable, router),
        *replay_notes(check),
        *_scheduler_notes(deployable),
        *_month_notes(),
        *_stage_notes(deployable),
        *_price_notes(deployable.question),
        *(note for note in deployable.question.notes if note[0] not in OF_A_PLAN),
    )


def _queue_notes(deployable: Deployable, router: str) -> Iterator[Note]:
    queues = (
        message("capacity.ranks_are_queues", router=router)
        if router == RANDOM
        else message("capacity.ranks_hold_equal", router=router)
    )
    yield Note(
        "arrivals", message("capacity.poisson_of_one_length"), message("capacity.bursts_need_more")
    )
    yield Note("router", queues, "--router")
    yield Note(
        "decoding queue",
        message("capacity.processor_sharing", slots=deployable.rank.slots),
        message("capacity.decode_queue_source"),
    )
    yield Note(
        "prompt queue",
        message("capacity.bulk_service"),
        message("capacity.prompt_queue_source"),
    )


def replay_notes(check: ReplayCheck | None) -> Iterator[Note]:
    """Whose figures are told, and what that does to the devices at both ends of the interval."""
    if check is None:
        words: Message = message("capacity.too_many_to_replay")
    elif not check.kept:
        words = message("capacity.no_replay_keeps")
    else:
        words = _apart(check)
    yield Note(REPLAY_KEY, words, message("capacity.replay_by_scheduler"))
    if check is not None and check.replaced:
        yield Note(
            "devices at the ends",
            message("capacity.ends_scaled"),
            message("capacity.ends_not_replayed"),
        )


def pool_replay_note(check: ReplayCheck | None, of: str, *, of_one_length: bool) -> Note:
    """Whose times of a pool are told; how many replicas it has follows from the formulas."""
    if not of_one_length:
        words: Message = message("capacity.lengths_not_replayed")
    elif check is None:
        words = message("capacity.too_many_to_replay")
    elif check.kept:
        words = _apart(check)
    else:
        words = message("capacity.pool_misses", off=f"{check.most:+.0%}")
    return Note(f"replay of {of}", words, message("capacity.replay_by_scheduler"))


def _apart(check: ReplayCheck) -> Message:
    """How far formulas and replay are apart, and which of them is told."""
    name = "capacity.replay_stands_in" if check.replaced else "capacity.replay_agrees"
    return message(name, requests=check.requests, off=f"{check.most:+.0%}")


def _scheduler_notes(deployable: Deployable) -> Iterator[Note]:
    question, policy = deployable.question, deployable.rank.policy
    rule = engine_policy(question.engine, question.engine_version, question.device.id)
    yield Note("scheduler", scheduler_message(policy), rule.source)
    yield Note("host time", host_time_message(policy), rule.source)
    yield Note("host of a prompt", prompt_host_message(policy), question.prompt_host.source)
    yield Note(
        "slots",
        message("capacity.requests_a_rank", slots=deployable.slots),
        message("capacity.slots_of_cache", share=f"{policy.reserve:.0%}"),
    )
    yield Note(
        "prefill chunk",
        message("capacity.tokens_a_pass", tokens=question.chunk_tokens),
        message("capacity.engine_default_on_device"),
    )


def _month_notes() -> Iterator[Note]:
    yield Note(
        "month",
        message("capacity.hours_a_month", hours=f"{HOURS_A_MONTH:g}"),
        message("capacity.twelfth_of_a_year"),
    )
    yield Note("energy", message("capacity.power_by_bound"), message("capacity.power_assumption"))


def _stage_notes(deployable: Deployable) -> Iterator[Note]:
    if deployable.layout.pp > 1:
        yield Note(
            "pipeline stages",
            message(
                "capacity.micro_batches",
                stages=deployable.layout.pp,
                slots=deployable.rank.slots,
            ),
            message("capacity.step_together"),
        )


def _price_notes(question: Question) -> Iterator[Note]:
    if question.price_per_hour is not None:
        yield Note(
            "price",
            message("capacity.usd_a_device_hour", price=f"{question.price_per_hour:.2f}"),
            price_source(question.device),
        )
