"""Workers of a pool with pipeline stages: their steps and passes by the law of a pipeline that
every closed loop has (:mod:`planner.throughput.pipelining`).

A decode worker holds a micro-batch for every stage, and a token takes a round of them with what the
host does between passes; a prefill worker reads at the pace of its slowest stage, and a prompt then
goes on through the others. The search bounds a round by stages × the slowest, which it never goes
below. A worker without stages is priced by its kernels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.planning.price.price import Priced, price
from planner.planning.price.served import serving_of, serving_policy, tabulate
from planner.planning.price.step import Assignment
from planner.planning.question.question import Question
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.throughput.pipelining import in_lockstep
from planner.throughput.pools import later_seconds
from planner.throughput.scheduling import Load, StepTimes


def worker_steps(
    space: Space,
    c: int,
    segments: Sequence[Segment],
    question: Question,
    *,
    requests: float,
    reading: float,
) -> StepTimes:
    """Step times of a worker with its formats under the lengths of ``question``, for up to so many
    ``requests``, ``reading`` of whose ranks read prompts at once."""
    layout = int(space.pts.layout[c])
    plan = Assignment(space.model, space.tables, layout, tuple(segments))
    serving = serving_of(question, space.tables.layouts[layout], requests, question.workload)
    return tabulate(plan, [(layout, replace(serving, reading=reading))])[0]


def worker_price(space: Space, c: int, segments: Sequence[Segment]) -> Priced:
    """A decode worker's price, its seconds a token those of a round where it has stages."""
    priced, question = price(space, c, segments), space.model.question
    if priced.layout.pp == 1:
        return priced
    requests, work = float(priced.batch), question.workload
    times = worker_steps(space, c, segments, question, requests=requests, reading=1.0)
    load = Load(requests, work.isl, work.osl, priced.layout.dp)
    steps, _, host = in_lockstep(times, load, serving_policy(question))
    tpot = host.step(steps.step(priced.slot), priced.slot) / question.accepted
    return replace(priced, tpot=tpot, rate=priced.batch / tpot, added=tpot)


def step_seconds(space: Space, c: int, segments: Sequence[Segment]) -> float:
    """Seconds a token of a decode worker."""
    return worker_price(space, c, segments).tpot


def seconds_after_slowest(space: Space, c: int, segments: Sequence[Segment]) -> float:
    """Seconds that a prompt takes in further stages of a prefill worker after its pass in the
    slowest; 0 without stages."""
    layout = space.layout(c)
    if layout.pp == 1:
        return 0.0
    question, ranks = space.model.question, float(layout.dp)
    reads = worker_steps(space, c, segments, question, requests=ranks, reading=ranks)
    return later_seconds(reads, serving_policy(question))
