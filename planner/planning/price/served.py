"""A question's deployment in the closed loop of its requests: the law that plans are priced by.

``plan serve`` and ``plan validate`` call :func:`planner.throughput.serving.closed_loop` on the
same step times (:func:`planner.planning.price.step.step_times`); this is its question as a plan
has it: as many requests in flight as its batch, each answer followed by the next prompt.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

from planner.base.records import record
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.question.question import Question
from planner.throughput.engine_policy import engine_policy, with_prompt_host
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import SteadyState, closed_loop


@record
class ServedLoop:
    """A replica of a plan in its closed loop. Seconds; ``rate`` of output tokens/s of the replica,
    ``reading`` that a prompt's own pass takes of TTFT."""

    state: SteadyState
    rate: float
    reading: float


def serving_policy(question: Question) -> Scheduling:
    """How the question's engine schedules, with what its host costs."""
    rule = engine_policy(question.engine, question.engine_version)
    policy = with_prompt_host(rule.policy, question.prompt_host, question.spec.layers)
    return replace(policy, balance_steps=question.hold_steps)


def served_times(plan: Assignment, most: float) -> StepTimes:
    """Step times of ``plan`` for up to ``most`` sequences a rank under its question's workload."""
    question = plan.model.question
    work = question.workload
    serving = Serving(
        work.isl,
        work.osl,
        most,
        question.chunk_tokens,
        hit_rate=work.prefix_hit_rate,
        length=work.decode_length,
    )
    known = plan.model.known_steps
    key = serving, plan.tables.layouts[plan.layout], plan.segments
    if key not in known:
        known[key] = step_times(plan, serving)
    times: StepTimes = known[key]
    return times


def served_loop(plan: Assignment, requests: float) -> ServedLoop:
    """``plan`` with so many ``requests`` in flight on one replica."""
    question, layout = plan.model.question, plan.tables.layouts[plan.layout]
    work, policy = question.workload, serving_policy(question)
    times = served_times(plan, 2.0 ** ceil(log2(max(requests / layout.dp, 1.0))))
    load = Load(requests, work.isl, work.osl, layout.dp, accepted=question.accepted)
    state = closed_loop(times, load, policy)
    rate = requests * work.osl / (state.ttft + work.osl * state.tpot)
    return ServedLoop(state, rate, times.with_prompt(state.active))
