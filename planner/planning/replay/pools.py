"""A deployment in pools as its schedulers see it: prefill workers, decode workers, the link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import Note
from planner.planning.answer.capacity import sequence_bytes
from planner.planning.plan.pool_sides import decode_side, prefill_side
from planner.planning.plan.record import Plan
from planner.planning.pools.priced_again import (
    assigned_pools,
    link_of_pools,
    questions_of_pools,
)
from planner.planning.price.price import price
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_link import PoolLink, link_between
from planner.planning.replay.deployment import Replayed, deployed
from planner.planning.search.grid_search import SearchResult
from planner.planning.serving.loop import check_pool_flags
from planner.planning.serving.serve import assigned, check_formats
from planner.requests.stream import RequestStream
from planner.scheduler.pools import WorkerPool

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
LENGTHS = 64
"""Lengths of a prompt, up to the longest, at which the bytes of its cache are counted."""


@record
class PoolCounts:
    """The parameters of pools, as given: workers of each, bytes/s of each device's link."""

    prefill_workers: int | None
    decode_workers: int | None
    transfer_bytes_per_s: float | None


@record
class PoolOfWorkers:
    """``count`` workers of an assignment, and the ``plan`` that they are of."""

    result: SearchResult
    count: int
    plan: Plan | None


@record
class PooledWorkers:
    """Workers of both pools and the link between them."""

    prefill: PoolOfWorkers
    decode: PoolOfWorkers
    link: PoolLink


@record
class ReplayedPools:
    """Both pools; a prompt of ``lengths`` [L] tokens takes ``sending`` [L] seconds over the link
    of an attention rank, and is ``sizes`` [L] bytes on all ranks of a decode worker's replica."""

    prefill: Replayed
    decode: Replayed
    link: PoolLink
    lengths: Array
    sending: Array
    sizes: Array

    def transfer_seconds(self, input_tokens: Counts) -> Array:
        """Of prompts of so many tokens [N]."""
        return np.interp(input_tokens, self.lengths, self.sending)

    def transfer_bytes(self, input_tokens: Counts) -> Array:
        """Of prompts of so many tokens [N]."""
        return np.interp(input_tokens, self.lengths, self.sizes)


def pooled_workers(inputs: QuestionInput, given: PoolCounts) -> PooledWorkers | None:
    """The pools of a plan, or of so many workers of one deployment; None where there are none.

    Raises:
        InputError: flags that contradict each other or the plan. InfeasibleError: a worker does not
        fit. UnsupportedError: the engine hands no cache over between their pipelines.
    """
    plan = inputs.plan
    in_plan = plan is not None and plan.deployment is not None
    if in_plan and given.prefill_workers is not None:
        raise InputError(
            "--prefill-workers and a plan in pools: it has a number of workers of its own",
            hint="leave --prefill-workers and --decode-workers out",
        )
    if not in_plan:
        check_pool_flags(given.prefill_workers, given.decode_workers, given.transfer_bytes_per_s)
    for name in ("prefill_workers", "decode_workers"):
        if (count := getattr(given, name)) is not None and count < 1:
            raise InputError(f"{name} = {count}", hint="at least 1")
    rate = given.transfer_bytes_per_s
    if rate is not None and not 0 < rate < float("inf"):
        raise InputError(
            f"transfer_bytes_per_s = {rate:g} is out of range",
            hint="bytes/s of each device, for example 50e9",
        )
    if plan is not None and plan.deployment is not None:
        return _of_plan(inputs, plan, rate)
    if given.prefill_workers is None or given.decode_workers is None:
        return None
    result = assigned(inputs)
    question = result.space.model.question
    ranks = result.space.layout(result.candidate).ranks
    devices = (given.prefill_workers + given.decode_workers) * ranks
    return PooledWorkers(
        PoolOfWorkers(result, given.prefill_workers, plan),
        PoolOfWorkers(result, given.decode_workers, plan),
        link_between(question, replace(question, sizes=(devices,)), rate),
    )


def _of_plan(inputs: QuestionInput, plan: Plan, rate: float | None) -> PooledWorkers:
    pools = plan.deployment
    assert pools is not None
    check_formats(inputs)
    questions = questions_of_pools(inputs, plan)
    reading, decoding = assigned_pools(plan, *questions)
    devices = sum(pool.workers * pool.devices_per_worker for pool in (pools.prefill, pools.decode))
    side, ranks = prefill_side(plan, pools), pools.prefill.layout
    # As many as its start command names: prompts of a pass on each rank, in every stage.
    most = pools.prefill.batch * ranks.dp * ranks.pp
    return PooledWorkers(
        PoolOfWorkers(
            reading,
            pools.prefill.workers,
            replace(side, workload=replace(side.workload, batch=most)),
        ),
        PoolOfWorkers(decoding, pools.decode.workers, decode_side(plan)),
        link_of_pools(plan, *questions, devices, rate),
    )


def deployed_pools(
    workers: PooledWorkers,
    stream: RequestStream,
    engine: str,
    *,
    slots_max: int | None,
    chunk_tokens: int | None,
) -> ReplayedPools:
    """Both pools as they serve ``stream``."""
    prefill, decode = (
        deployed(
            side.result,
            stream,
            engine,
            plan=side.plan,
            slots_max=slots_max,
            chunk_tokens=chunk_tokens,
            workers=side.count,
        )
        for side in (workers.prefill, workers.decode)
    )
    longest = int(stream.input_tokens.max())
    lengths = np.unique(np.linspace(1, longest, LENGTHS).astype(np.int64))
    sides = [_cache_bytes(side.result) for side in (workers.prefill, workers.decode)]
    each = np.array([[max(size(n) for size in stages) for n in lengths] for stages, _ in sides])
    stages, tp = sides[1]
    return ReplayedPools(
        prefill,
        decode,
        workers.link,
        lengths.astype(np.float64),
        # The side with fewer ranks, and of pipeline stages the fullest, has the most to move.
        each.max(axis=0) / workers.link.bytes_per_second,
        np.array([sum(size(n) for size in stages) * tp for n in lengths], dtype=np.float64),
    )


def _cache_bytes(result: SearchResult) -> tuple[list[Callable[[int], int]], int]:
    """Tokens of a prompt → bytes on a rank of each pipeline stage; the tensor-parallel degree."""
    layout = price(result.space, result.candidate, result.segments).layout
    model = result.space.model
    return [sequence_bytes(model, result, layout, n) for n in range(layout.pp)], layout.tp


def worker_pool(where: Replayed) -> WorkerPool:
    """The workers of a pool for its scheduler. Prompts take the sum of their operators, as in the
    closed loop of pools (:func:`planner.throughput.pools.pooled_loop`): what a prompt takes over
    that was read off workers that do both."""
    policy = replace(where.policy, reading_factor=1.0)
    return WorkerPool(where.rules, where.costs, policy, where.replicas, where.layout.dp)


def pool_notes(where: ReplayedPools) -> tuple[Note, ...]:
    """What was taken for both pools, and for the link."""
    return (
        *where.decode.notes,
        *(note for note in where.prefill.notes if note not in where.decode.notes),
        where.link.note,
    )
