"""A model that prefill and decode workers serve: their closed loop, and what a plan counts on.

Both take the passes of each pool from one table and what is handed over from
:mod:`planner.planning.pools.handover`, as ``plan --mode disaggregated`` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from planner.base.errors import PlannerError
from planner.lab.validation.parallelism import Workers
from planner.lab.validation.records import NotCoveredError
from planner.lab.validation.served import (
    GRID,
    Deployed,
    assignment,
    cache_tokens,
    reading_table,
    table,
)
from planner.planning.pools.handover import Handover, handover
from planner.planning.question.pool_link import link_between
from planner.throughput.pool_rates import PrefillRates
from planner.throughput.pools import PooledLoop, Pools, pooled_loop, reading_seconds
from planner.throughput.scheduling import Load, Scheduling, StepTimes


@dataclass(frozen=True, slots=True)
class _Parts:
    """Passes of prefill workers on ``reading_ranks``, of decode workers, and what moves."""

    reads: StepTimes
    reading_ranks: int
    steps: StepTimes
    over: Handover
    degrees: tuple[int, int]
    stages: tuple[int, int]


def serve_pools(
    case: Deployed,
    policy: Scheduling,
    concurrency: float,
    workers: Workers,
    *,
    requests: float | None,
) -> PooledLoop:
    """The closed loop of ``concurrency`` requests over prefill and decode workers; ``case`` is a
    decode worker.

    Raises:
        NotCoveredError: no counts of workers, or the planner or the engine refuses a pool.
    """
    parts = _parts(case, workers, concurrency)
    load = Load(concurrency, case.isl, case.osl, case.shape.dp, requests, cache_tokens(case))
    pools = Pools(
        workers.prefill_workers,
        workers.decode_workers,
        parts.over.seconds(*parts.degrees, parts.stages),
        parts.reads,
        parts.reading_ranks,
    )
    try:
        return pooled_loop(parts.steps, load, policy, pools)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error


def planned_rate(case: Deployed, policy: Scheduling, concurrency: float, workers: Workers) -> float:
    """Requests/s that a plan counts on from these pools where ``concurrency`` requests decode: an
    open stream, of which the prefill pool is planned for a share of its highest rate.

    Raises:
        NotCoveredError: as :func:`serve_pools`.
    """
    parts = _parts(case, workers, concurrency)
    passes = np.array([reading_seconds(parts.reads, policy)])
    read_tp, decode_tp = parts.degrees
    ranks = float(parts.reading_ranks)
    read_pp, decode_pp = parts.stages
    readers = PrefillRates(
        np.array([ranks]),
        passes,
        np.array([parts.over.rate(read_tp, parts.reading_ranks, read_pp)]),
    )
    batch = max(concurrency / workers.decode_workers / case.shape.dp, 1.0)
    step = policy.step(parts.steps.step(batch), batch)
    decoded = min(
        batch * case.shape.dp / (case.osl * step),
        parts.over.rate(decode_tp, case.shape.dp, decode_pp),
    )
    return min(
        workers.prefill_workers * float(readers.planned[0]), workers.decode_workers * decoded
    )


def _parts(case: Deployed, workers: Workers, concurrency: float) -> _Parts:
    prefill = workers.prefill
    if prefill is None or not workers.decode_workers or not workers.prefill_workers:
        raise NotCoveredError("workers not counted")
    reads = replace(case, shape=prefill)
    most = max(GRID, concurrency / workers.decode_workers / case.shape.dp)
    devices = workers.prefill_workers * prefill.ranks + workers.decode_workers * case.shape.ranks
    return _Parts(
        reading_table(reads),
        prefill.dp,
        table(case, most),
        _handover(case, reads, devices),
        (prefill.tp, case.shape.tp),
        (prefill.pp, case.shape.pp),
    )


@cache
def _handover(case: Deployed, reads: Deployed, devices: int) -> Handover:
    """What moves from ``reads`` to ``case``, over the link of a deployment of ``devices``."""
    model = assignment(case).model
    mine, theirs = (
        replace(assigned.model.question, sizes=(devices,))
        for assigned in (assignment(case), assignment(reads))
    )
    try:
        return handover(
            mine,
            case.recipe.kv,
            (reads.shape.tp, case.shape.tp),
            link_between(theirs, mine, None),
            indexer_fp8=model.indexer_fp8,
            stages=(reads.shape.pp, case.shape.pp),
        )
    except PlannerError as error:
        raise NotCoveredError("setting not stated") from error
