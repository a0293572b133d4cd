"""Chosen pools in the closed loop of their requests: what a plan prints of them.

The search counts an open stream of requests on arrays (:mod:`planner.throughput.pool_rates`), with
the kernels of each pass alone. What is told of the pools is the closed loop that ``plan serve`` and
``plan validate`` answer (:func:`planner.throughput.pools.pooled_loop`), with the engine's host and
handling, at as many requests in flight as the search's rate keeps there by Little's law; fewer
where a limit on time, or on how busy prefill workers may be, is not kept otherwise.
"""

from __future__ import annotations

import numpy as np

from planner.base.records import record
from planner.planning.pools.search import Demand, TwoPools, prefill_rates
from planner.planning.pools.stages import worker_steps
from planner.planning.pools.workers import WorkerAssignment
from planner.planning.price.served import serving_policy
from planner.planning.question.question import Question
from planner.planning.question.time_limits import request_seconds
from planner.throughput.pool_rates import MOST_BUSY
from planner.throughput.pools import PooledLoop, Pools, pooled_loop
from planner.throughput.scheduling import Load, Scheduling, StepTimes

HALVINGS = 24


@record
class PoolsInLoop:
    """The closed loop of ``requests`` in flight over both pools; seconds that a prompt's cache
    takes to move, and those of ``handling`` by the host."""

    state: PooledLoop
    requests: float
    transfer: float
    handling: float

    @property
    def queue(self) -> float:
        """Seconds before a prompt's own pass."""
        after = self.state.reading + self.transfer + self.handling + self.state.tpot
        return max(self.state.ttft - after, 0.0)


def pools_in_loop(pools: TwoPools, demand: Demand) -> PoolsInLoop:
    """``pools`` at the requests that their rate keeps in flight, or as many of them as the limits
    on time allow."""
    loop = _Loop(pools, demand)
    most = loop.in_flight()
    state = loop.at(most)
    if loop.keeps(state):
        return loop.answer(state, most)
    low, high = 1.0, most
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if loop.keeps(loop.at(middle)) else (low, middle)
    return loop.answer(loop.at(low), low)


class _Loop:
    """What the loop of some pools is made of."""

    def __init__(self, pools: TwoPools, demand: Demand) -> None:
        reader, decoder = pools.assigned
        self.pools, self.osl, self.demand = pools, demand.osl, demand
        self.question: Question = pools.decoding.pool.ways[0]
        self.policy: Scheduling = serving_policy(self.question)
        self.ranks = pools.decoding.ranks
        each = pools.decoding.high * self.ranks * pools.decoding.pp
        self.steps = _steps(decoder, self.question, each, 1.0)
        reading = float(pools.reading.ranks)
        self.reads = _steps(reader, pools.reading.pool.ways[0], reading, reading)
        self.transfer = pools.transfer_seconds

    def in_flight(self) -> float:
        """Requests that the search's rate keeps in the system."""
        pools = self.pools
        kinds = prefill_rates(pools.shared.handover, [pools.reading])
        workers = np.array([float(pools.prefill_workers)])
        read = float(kinds.seconds(np.array([[pools.rate]]), workers)[0, 0])
        step = pools.decoding.seconds
        outside = self.transfer + self.policy.handling_seconds
        return max(pools.rate * (read + outside + step * (self.osl + 1)), 1.0)

    def at(self, requests: float) -> PooledLoop:
        """The loop of so many requests."""
        pools, work = self.pools, self.question.workload
        load = Load(
            requests,
            work.isl,
            self.osl,
            self.ranks,
            cache_tokens=pools.decoding.high
            * pools.decoding.pp
            * (work.isl + self.policy.reserve * self.osl),
            accepted=self.question.accepted,
        )
        return pooled_loop(
            self.steps,
            load,
            self.policy,
            Pools(
                pools.prefill_workers,
                pools.decode_workers,
                self.transfer,
                self.reads,
                pools.reading.ranks,
                pools.link_rate,
            ),
        )

    def keeps(self, state: PooledLoop) -> bool:
        """Whether the limits on time are kept, and prefill workers are no busier than may be."""
        request = request_seconds(state.ttft, state.tpot, self.osl)
        return (
            state.prefill_busy <= MOST_BUSY
            and state.tpot <= self.demand.token_seconds
            and state.ttft <= self.demand.first_token_seconds
            and request <= self.demand.request_seconds
        )

    def answer(self, state: PooledLoop, requests: float) -> PoolsInLoop:
        """The answer."""
        return PoolsInLoop(state, requests, self.transfer, self.policy.handling_seconds)


def _steps(
    worker: WorkerAssignment, question: Question, requests: float, reading: float
) -> StepTimes:
    """Step times of a worker with its formats, ``reading`` of whose ranks read prompts at once."""
    return worker_steps(
        worker.space,
        worker.candidate,
        worker.segments,
        question,
        requests=requests,
        reading=reading,
    )
