"""The question that a run posed, asked of the law that plans are priced by."""

from __future__ import annotations

import math
from dataclasses import replace

from planner.base.errors import InfeasibleError, InputError
from planner.base.records import record
from planner.lab.learning.results.run import BATCH, DECODE, PROMPT, MeasuredRun
from planner.messages.message import message
from planner.planning.plan.record import Estimate
from planner.planning.price.kinds import ServedKind
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import price
from planner.planning.question.corrections import PROMPT as PROMPTS
from planner.planning.question.corrections import STEP as STEPS
from planner.planning.question.corrections import Correction
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import QuestionInput
from planner.planning.serving.loop import Loop
from planner.planning.serving.serve import assigned, served_answer

ROUNDS, CLOSE = 40, 1e-3
"""Rounds in which requests in flight, or factors, settle, and what they may be off by."""
MOST_FACTOR = 20.0
"""A prediction that is further off is one of another deployment."""


@record
class ServedSubject:
    """What ran: a question without its load, its engine as a flag takes it."""

    inputs: QuestionInput
    engine: str
    scheme: str | None


@record
class RunForecast:
    """What the law says of a run's question: times with their 80 % intervals, output tokens/s, and
    the kind of deployment. ``in_flight`` requests that it was asked with."""

    tpot: Estimate
    ttft: Estimate
    e2e: float
    output_rate: float
    kind: ServedKind
    in_flight: float


Corrections = tuple[Correction, ...]


def predicted(
    run: MeasuredRun, subject: ServedSubject, corrections: Corrections = ()
) -> RunForecast:
    """The law's answer to the question of ``run``, under ``corrections``.

    Raises:
        InputError: the file does not say lengths or load. InfeasibleError: it does not fit, or
            more requests come than are served.
    """
    isl, osl = _tokens(run.isl, "isl"), _tokens(run.osl, "osl")
    inputs = replace(
        subject.inputs,
        isl=isl,
        osl=max(osl, 2),
        prefix_hit_rate=run.cached / isl if run.kind == PROMPT and run.cached else None,
        corrections=corrections,
    )
    if run.rate is None:
        return _closed(inputs, subject, _in_flight(run), _finite(run))
    return _open(inputs, subject, run.rate)


def factors(steps: float, prompts: float) -> Corrections:
    """Corrections that multiply steps and prompts, and say nothing of how sure they are."""
    pairs = ((STEPS, steps), (PROMPTS, prompts))
    return tuple(Correction(name, x, 0.0, (), 0, ()) for name, x in pairs if x != 1.0)


def _tokens(value: float | None, name: str) -> int:
    if value is None:
        raise InputError(
            message("verbs.learn_not_said", what=name), hint=message("verbs.learn_say", flag=name)
        )
    return max(round(value), 1)


def _in_flight(run: MeasuredRun) -> float:
    """Requests in flight: what the client kept, else all of them at once."""
    if run.kind in (PROMPT, DECODE):
        return 1.0
    most = run.concurrency or float(run.completed)
    if not most or (run.kind == BATCH and run.concurrency is None and run.output_rate is None):
        raise InputError(
            message("verbs.learn_not_said", what="concurrency"),
            hint=message("verbs.learn_say", flag="concurrency"),
        )
    return min(most, float(run.completed or most)) if run.kind != BATCH else most


def _finite(run: MeasuredRun) -> int | None:
    """Requests of a run that starts with all that are in flight at once."""
    return None if run.kind in (PROMPT, DECODE, BATCH) else run.completed or None


def _closed(
    inputs: QuestionInput, subject: ServedSubject, in_flight: float, requests: int | None
) -> RunForecast:
    loop = Loop(concurrency=in_flight, requests=requests)
    found = assigned(replace(inputs, tpot_seconds=NO_LIMIT))
    answer = served_answer(
        found, loop, subject.engine, subject.scheme or "", None, layout_given=True
    )
    point, tpot, ttft = answer.point, answer.tpot_seconds, answer.ttft_seconds
    assert point is not None
    assert tpot is not None
    assert ttft is not None
    model = found.space.model
    priced = price(found.space, found.candidate, found.segments)
    return RunForecast(
        tpot,
        ttft,
        point.request_seconds,
        point.output_tokens_per_second,
        kind_of(model, priced, requests=in_flight),
        in_flight,
    )


def _open(inputs: QuestionInput, subject: ServedSubject, rate: float) -> RunForecast:
    """At ``rate`` requests a second as many are in flight as come in the time of one."""
    in_flight = 1.0
    for _ in range(ROUNDS):
        found = _closed(inputs, subject, in_flight, None)
        settled = max(rate * found.e2e, 1.0)
        if abs(math.log(settled / in_flight)) < CLOSE:
            return found
        if settled > 1e5:
            break
        in_flight = settled
    raise InfeasibleError(
        message("verbs.learn_unserved", rate=f"{rate:g}"), hint=message("verbs.learn_lower_rate")
    )


def explaining(
    run: MeasuredRun, subject: ServedSubject, first: RunForecast
) -> tuple[float, float] | None:
    """The factors on steps and on prompts under which the law gives what ``run`` measured, from its
    ``first`` answer; None where there are none within MOST_FACTOR. What was not measured keeps a
    factor of 1, and so do prompts under a rate, whose wait is the arrivals'."""
    steps = prompts = 0.0
    now = first
    for _ in range(ROUNDS):
        off_steps = 0.0 if run.tpot is None else math.log(run.tpot.mean / now.tpot.value)
        off_prompts = (
            0.0
            if run.ttft is None or run.rate is not None
            else math.log(run.ttft.mean / now.ttft.value)
        )
        if max(abs(off_steps), abs(off_prompts)) < CLOSE:
            return math.exp(steps), math.exp(prompts)
        steps, prompts = steps + off_steps, prompts + off_prompts
        if max(abs(steps), abs(prompts)) > math.log(MOST_FACTOR):
            return None
        now = predicted(run, subject, factors(math.exp(steps), math.exp(prompts)))
    return None
