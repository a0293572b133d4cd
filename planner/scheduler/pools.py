"""Requests played through pools: prefill workers make first tokens, decode workers go on."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.numerics.engines import Chosen
from planner.requests.stream import RequestStream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import LEAST_LOADED, SchedulerRules
from planner.scheduler.run import Progress, run
from planner.scheduler.served import ServedRequests
from planner.throughput.scheduling import Scheduling

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


@record
class WorkerPool:
    """``workers`` alike, each of ``ranks`` attention ranks that step together."""

    rules: SchedulerRules
    costs: StepCosts
    policy: Scheduling
    workers: int = 1
    ranks: int = 1


@record
class PooledRequests:
    """What became of requests [N] in ``prefill`` (all of one token there) and in ``decode`` (the
    rows of ``handed`` [M], in order of their arrival there)."""

    prefill: ServedRequests
    decode: ServedRequests
    handed: Counts
    requests: ServedRequests


def run_pools(
    stream: RequestStream,
    prefill: WorkerPool,
    decode: WorkerPool,
    transfer_seconds_per_token: float,
    *,
    transfer_seconds: float = 0.0,
    router: str = LEAST_LOADED,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Chosen = "auto",
) -> PooledRequests:
    """Serve a stream on two pools. The cache of a prompt of I tokens takes ``transfer_seconds`` +
    I · ``transfer_seconds_per_token`` to the decode worker that the ``router`` chooses when it has
    arrived; a prefill worker has given back its blocks by then. A decode worker that preempts reads
    the prompt again itself. ``requests``: of all, first tokens those of the prefill pool, and the
    passes of both in order of their start. ``progress`` counts what either pool has done.

    Raises:
        InputError: as :func:`planner.scheduler.run.run`.
    """
    ones = replace(stream, output_tokens=np.minimum(stream.output_tokens, 1))
    read = _run(ones, prefill, router, seed, progress, engine, elsewhere=False)
    arrived = read.first_seconds + transfer_seconds
    arrived = arrived + stream.input_tokens * transfer_seconds_per_token
    rows = np.flatnonzero(np.isfinite(arrived) & (stream.output_tokens > 1))
    handed = rows[np.argsort(arrived[rows], kind="stable")]
    done = len(stream) - len(handed)

    def further(count: int) -> None:
        if progress is not None:
            progress(done + count)

    second = _run(
        _selected(stream, handed, arrived[handed]),
        decode,
        router,
        seed,
        further,
        engine,
        elsewhere=True,
    )
    return PooledRequests(read, second, handed, _joined(read, second, handed))


def _run(
    stream: RequestStream,
    pool: WorkerPool,
    router: str,
    seed: int,
    progress: Progress | None,
    engine: Chosen,
    *,
    elsewhere: bool,
) -> ServedRequests:
    return run(
        stream,
        pool.rules,
        pool.costs,
        pool.policy,
        ranks=pool.ranks,
        replicas=pool.workers,
        router=router,
        seed=seed,
        progress=progress,
        engine=engine,
        read_elsewhere=elsewhere,
    )


def _selected(stream: RequestStream, rows: Counts, arrived: Array) -> RequestStream:
    """Requests of ``rows`` as they come to the decode pool; their prompts' blocks are their own, as
    each was sent for itself."""
    none = np.zeros(0, dtype=np.int64)
    return RequestStream(
        arrived,
        stream.input_tokens[rows],
        stream.output_tokens[rows],
        np.zeros(len(rows), dtype=np.int64),
        0,
        np.zeros(len(rows) + 1, dtype=np.int64),
        none,
    )


def _joined(read: ServedRequests, second: ServedRequests, handed: Counts) -> ServedRequests:
    """Both pools as one: a request that was handed over ends where it ended there."""
    last, made = read.last_seconds.copy(), read.made_tokens.copy()
    preempted, rejected = read.preempted.copy(), read.rejected.copy()
    last[handed], made[handed] = second.last_seconds, second.made_tokens
    preempted[handed] += second.preempted
    rejected[handed] |= second.rejected
    order = np.argsort(np.concatenate([read.start_seconds, second.start_seconds]), kind="stable")

    def both(first: NDArray[Number], then: NDArray[Number]) -> NDArray[Number]:
        return np.asarray(np.concatenate([first, then])[order])

    return replace(
        read,
        last_seconds=last,
        made_tokens=made,
        preempted=preempted,
        rejected=rejected,
        start_seconds=both(read.start_seconds, second.start_seconds),
        pass_seconds=both(read.pass_seconds, second.pass_seconds),
        decoding=both(read.decoding, second.decoding),
        prompt_tokens=both(read.prompt_tokens, second.prompt_tokens),
        cache_share=both(read.cache_share, second.cache_share),
        waiting=both(read.waiting, second.waiting),
        complete=read.complete and second.complete,
    )
