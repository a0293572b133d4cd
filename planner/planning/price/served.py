"""A question's deployment in the closed loop of its requests: the law that plans are priced by.

``plan serve`` and ``plan validate`` call :func:`planner.throughput.serving.closed_loop` on the
same step times (:func:`planner.planning.price.step.step_times`); this is its question as a plan
has it: as many requests in flight as its batch, each answer followed by the next prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, log2

from planner.base.records import record
from planner.placement.layout import Layout
from planner.planning.price.step import Assignment, Serving, step_tables
from planner.planning.question.corrections import STEP
from planner.planning.question.question import Question
from planner.planning.question.workload import Workload
from planner.throughput.engine_policy import (
    engine_policy,
    with_prompt_host,
    with_slower_steps,
)
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import SteadyState, closed_loop


@record
class ServedLoop:
    """A replica of a plan in its closed loop. Seconds; ``rate`` of output tokens/s of the replica,
    ``reading`` that a prompt's own pass takes of TTFT."""

    state: SteadyState
    rate: float
    reading: float


ROOM = 2
"""A table is made for batches so many times as large: the next that is asked for is seldom more."""
MOST_TABLES = 1024
"""Tables of a model that are kept: a few KB each."""


def serving_policy(question: Question) -> Scheduling:
    """How the question's engine schedules, with what its host costs."""
    rule = engine_policy(question.engine, question.engine_version, question.device.id)
    policy = with_slower_steps(rule.policy, question.corrected(STEP))
    policy = with_prompt_host(policy, question.prompt_host, question.spec.layers)
    return replace(policy, balance_steps=question.hold_steps)


def serving_of(question: Question, layout: Layout, requests: float, work: Workload) -> Serving:
    """The table of steps that ``requests`` of ``work`` on a replica of ``layout`` need."""
    return Serving(
        work.isl,
        work.osl,
        2.0 ** ceil(log2(max(requests / layout.dp, 1.0))),
        question.chunk_tokens,
        hit_rate=work.prefix_hit_rate,
        length=work.decode_length,
    )


def tabulate(plan: Assignment, wanted: Sequence[tuple[int, Serving]]) -> list[StepTimes]:
    """Step times of the assignment on each (layout, work), those that are not known yet timed all
    at once. A table stands for every batch up to its largest."""
    known = plan.model.known_steps
    if len(known) > MOST_TABLES:
        known.clear()
    missing: dict[tuple[object, ...], tuple[int, Serving]] = {}
    for layout, work in wanted:
        key, most = _key(plan, layout, work), ROOM * work.most
        enough = key in known and known[key].batch[-1] >= work.most
        if not enough and (key not in missing or missing[key][1].most < most):
            missing[key] = layout, replace(work, most=most)
    if missing:
        known.update(zip(missing, step_tables(plan, list(missing.values())), strict=True))
    return [known[_key(plan, *pair)] for pair in wanted]


def served_loop(plan: Assignment, requests: float, work: Workload | None = None) -> ServedLoop:
    """``plan`` with so many ``requests`` of ``work`` (its question's where absent) in flight on one
    replica."""
    question, layout = plan.model.question, plan.tables.layouts[plan.layout]
    work = work or question.workload
    times = tabulate(plan, [(plan.layout, serving_of(question, layout, requests, work))])[0]
    return loop_of(question, layout, times, requests, work)


def loop_of(
    question: Question, layout: Layout, times: StepTimes, requests: float, work: Workload
) -> ServedLoop:
    """``requests`` of ``work`` in flight on a replica of ``layout`` whose steps take ``times``."""
    run = question.run_requests
    load = Load(
        requests,
        work.isl,
        work.osl,
        layout.dp,
        None if run is None else max(float(run), requests),
        accepted=question.accepted,
        alike=question.same_lengths,
    )
    state = closed_loop(times, load, serving_policy(question))
    rate = requests * work.osl / (state.ttft + work.osl * state.tpot)
    return ServedLoop(state, rate, times.with_prompt(state.active))


def _key(plan: Assignment, layout: int, serving: Serving) -> tuple[object, ...]:
    question = plan.model.question
    own = question.verified, question.speculation is None, question.offload is None
    return replace(serving, most=0.0), plan.tables.layouts[layout], plan.segments, own
