"""Whether workers do both or are in pools: what is known before any pools are searched."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import UnsupportedError
from planner.messages.message import Note, Text
from planner.planning.engines.pool_rules import pool_refusal, stages_refusal
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import RATES, Question

KEY = "mode"
"""The assumption that says whether workers are in pools."""
WITH_A_BATCH = "with a --batch"
WITH_A_CONCURRENCY = "with a --concurrency"


def pools_ruled_out(question: Question) -> str:
    """Why pools are no answer to a question, empty where they may be one: one device, a batch, or
    an objective that is no rate."""
    if max(question.sizes) < 2:
        return "on one device"
    if question.objective not in RATES:
        return f"for --objective {question.objective}"
    if question.batch is not None:
        return WITH_A_BATCH
    if question.concurrency is not None:
        return WITH_A_CONCURRENCY
    return ""


def refused(decode: Sequence[Question], prefill: Sequence[Question]) -> str:
    """Why the engine of ``decode`` serves no pools on the devices; empty where it may."""
    first = decode[0]
    engine = engine_of(first)
    if not prefill:
        return f"{first.engine} does not serve it on the prefill device"
    if engine is None:
        return ""
    refusals = (pool_refusal(engine, q.device, q.spec) for q in (first, prefill[0]))
    stages = (prefill[0].worker_stages, first.worker_stages)
    return next(filter(None, refusals), "") or stages_refusal(engine, *stages)


def no_pools(reasons: Sequence[str]) -> UnsupportedError:
    """No engine serves pools; ``reasons`` of each."""
    return UnsupportedError(
        f"no engine serves pools of prefill and decode workers here: {'; '.join(reasons)}",
        hint="--mode aggregated, another engine, or --engine any: theory, without an engine's "
        "rules",
    )


def with_mode(plan: Plan, reason: Text) -> Plan:
    """``plan`` with the reason why its workers do both."""
    return with_notes(plan, Note(KEY, "aggregated", reason))
