"""A model that cards at home hold damaged or not at all within the usual time of a token: its
experts or FFN in the memory of an assumed desktop, before cards are multiplied, or a slower pace.

A desktop is assumed only where a question leaves open how many cards and which host there are; who
names either is answered at a slower pace; who drafts, pools or serves several users, as before. The
plan is taken where its loss is no damage and it decodes as fast as one reads, else as slowly as one
may wait for; it says what was assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InfeasibleError, UnsupportedError
from planner.base.units import format_seconds
from planner.hardware.segments import one_by_default
from planner.messages.message import Message, Note, message
from planner.planning.answer.assemble import recommended
from planner.planning.choose.decision import PlanDecision, decide
from planner.planning.plan.record import Plan
from planner.planning.question.assumed_hosts import (
    READING_SECONDS,
    SLOWEST_STEP_SECONDS,
    assumed_hosts,
)
from planner.planning.question.defaults import with_note
from planner.planning.question.engine_choice import AUTO_ENGINE
from planner.planning.question.given_values import TPOT_KEY
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.hosted_files import HostedFile, hosted_files, splits_in_time
from planner.quality.meaning import damaging_from

PACES = (
    (READING_SECONDS, message("assumptions.slowest_that_is_read")),
    (SLOWEST_STEP_SECONDS, message("assumptions.slowest_that_is_waited_for")),
)
"""Limits on a step beside an assumed host, each tried where nothing keeps the one before."""
ENGINE = "llama.cpp"
"""The engine that people at home keep weights in host memory with."""


def on_assumed_host(inputs: QuestionInput, decision: PlanDecision | None) -> Plan | None:
    """The plan beside the first assumed host that serves the question undamaged and quickly enough;
    None where one card does (``decision``), where the question says what there is, or no host
    helps."""
    if not _left_open(inputs) or not _too_small(inputs, decision):
        return None
    found = [
        _files_on_host(replace(inputs, engine=ENGINE, assumed_host=h)) for h in assumed_hosts()
    ]
    given = inputs.given_values.tpot_seconds is not None
    for pace in (None,) if given else PACES:
        for files in found:
            plan = _plan_with(inputs, files, pace)
            if plan is not None:
                return plan
    return None


def at_reading_pace(inputs: QuestionInput, decision: PlanDecision | None) -> PlanDecision | None:
    """The decision at another pace, where one user at home named no time of a token; else None.

    One that the usual time damages, or leaves nothing for, waits as long as one reads, else as one
    may wait for it; one that is slower than one reads gives way to an undamaged plan that is not.
    """
    given = inputs.given_values.with_scenario(inputs.loaded_scenario)
    rated = given.objective in (None, "throughput") and not inputs.exact
    if given.tpot_seconds is not None or not rated or not _of_one_user(inputs):
        return None
    paces: Sequence[tuple[float, Message]] = PACES
    if decision is not None:
        priced = decision.choice.option.priced
        if not _damaged(inputs, priced.loss):
            if priced.tpot <= READING_SECONDS:
                return None
            paces = PACES[:1]
    for pace in paces:
        paced = _decided(inputs, [_at(q, pace) for q in inputs.questions()])
        if paced is not None and not _damaged(inputs, paced.choice.option.priced.loss):
            return paced
    return None


def _left_open(inputs: QuestionInput) -> bool:
    """Whether nothing says how many cards there are, which host, or that many users share them."""
    device = inputs.subject[1]
    given = inputs.given_values.with_scenario(inputs.loaded_scenario)
    named = (given.host, given.devices, given.tp, given.dp, given.pp, given.ep)
    return (
        device.kind == "gpu"
        and not device.unified_memory
        and not any(named)
        and _of_one_user(inputs)
        and inputs.requested_engine.partition("@")[0] in (AUTO_ENGINE, ENGINE)
    )


def _of_one_user(inputs: QuestionInput) -> bool:
    """Whether a device is of a home and nothing says that many users share it."""
    given = inputs.given_values.with_scenario(inputs.loaded_scenario)
    return one_by_default(inputs.subject[1]) and (given.batch or given.concurrency or 1) == 1


def _too_small(inputs: QuestionInput, decision: PlanDecision | None) -> bool:
    """Whether one card has no plan, or none that keeps what the model can do."""
    if decision is None:
        return True
    option = decision.choice.option
    return option.priced.layout.ranks > 1 or _damaged(inputs, option.priced.loss)


def _damaged(inputs: QuestionInput, loss_nats: float) -> bool:
    """Whether a loss that nobody asked for is of the worst kind."""
    return inputs.max_loss is None and loss_nats >= _undamaged(inputs)


def _undamaged(inputs: QuestionInput) -> float:
    """What a loss is below that nobody asked for."""
    return math.inf if inputs.max_loss is not None else damaging_from()


def _files_on_host(inputs: QuestionInput) -> list[HostedFile]:
    """The files that exist, undamaged and fitting beside an assumed host."""
    try:
        return hosted_files(inputs.questions(), _undamaged(inputs))
    except UnsupportedError:
        return []


def _plan_with(
    inputs: QuestionInput, files: Sequence[HostedFile], pace: tuple[float, Message] | None
) -> Plan | None:
    """The best plan of the splits in which one of ``files`` keeps a pace; None where there is none
    that is worth telling."""
    questions = splits_in_time(files, None if pace is None else pace[0])
    if pace is not None:
        questions = [_at(q, pace) for q in questions]
    decision = _decided(inputs, questions)
    if decision is None:
        return None
    plan = recommended(decision.choice, others=decision.others)
    return None if plan.offload is None or _damaged(inputs, plan.quality.loss) else plan


def _at(question: Question, pace: tuple[float, Message]) -> Question:
    """The question with a pace as its limit on a step, and why."""
    seconds, why = pace
    others = tuple(n for n in question.notes if n.key != TPOT_KEY)
    slower = replace(question, tpot_seconds=seconds, tpot_default=False, notes=others)
    return with_note(slower, Note(TPOT_KEY, format_seconds(seconds), why))


def _decided(inputs: QuestionInput, questions: Sequence[Question]) -> PlanDecision | None:
    """The decision on questions; None where nothing satisfies them, or there are none."""
    try:
        return decide(questions, exact=inputs.exact) if questions else None
    except InfeasibleError:
        return None
