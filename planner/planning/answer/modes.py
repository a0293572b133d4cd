"""Whether workers do both or are in pools: what is known before any pools are searched."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import UnsupportedError
from planner.messages.message import Note, Text, joined, message
from planner.planning.engines.pool_rules import pool_refusal, stages_refusal
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import RATES, Question

KEY = "mode"
"""The assumption that says whether workers are in pools."""
WITH_A_BATCH = message("assumptions.with_batch")
WITH_A_CONCURRENCY = message("assumptions.with_concurrency")


def pools_ruled_out(question: Question) -> Text:
    """Why pools are no answer to a question, empty where they may be one: one device, a batch, or
    an objective that is no rate."""
    if max(question.sizes) < 2:
        return message("assumptions.on_one_device")
    if question.objective not in RATES:
        return message("assumptions.for_objective", x=question.objective)
    if question.batch is not None:
        return WITH_A_BATCH
    if question.concurrency is not None:
        return WITH_A_CONCURRENCY
    return ""


def refused(decode: Sequence[Question], prefill: Sequence[Question]) -> Text:
    """Why the engine of ``decode`` serves no pools on the devices; empty where it may."""
    first = decode[0]
    engine = engine_of(first)
    if not prefill:
        return message("assumptions.does_not_serve_it_on", engine=first.engine)
    if engine is None:
        return ""
    refusals = (pool_refusal(engine, q.device, q.spec) for q in (first, prefill[0]))
    stages = (prefill[0].worker_stages, first.worker_stages)
    return next((why for why in refusals if why), "") or stages_refusal(engine, *stages)


def no_pools(reasons: Sequence[Text]) -> UnsupportedError:
    """No engine serves pools; ``reasons`` of each."""
    return UnsupportedError(
        message("assumptions.no_engine_serves_pools_of_prefill", x=joined(reasons)),
        hint=message("refusals.mode_aggregated_or_another_engine"),
    )


def with_mode(plan: Plan, reason: Text) -> Plan:
    """``plan`` with the reason why its workers do both."""
    return with_notes(plan, Note(KEY, "aggregated", reason))
