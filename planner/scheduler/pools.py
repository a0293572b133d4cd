"""Requests played through pools: prefill workers read prompts, decode workers make the answers."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapreplace

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


@record
class WorkerPool:
    """``workers`` alike, each of ``ranks`` attention ranks that step together."""

    rules: SchedulerRules
    costs: StepCosts
    policy: Scheduling
    workers: int = 1
    ranks: int = 1

    @property
    def all_ranks(self) -> int:
        """Attention ranks of the pool: each has a link of its own."""
        return self.workers * self.ranks


@record
class PooledRequests:
    """What became of requests [N] in ``prefill`` (all of one token there) and in ``decode`` (the
    rows of ``handed`` [M], in order of when their caches had ``arrived_seconds`` [M] there), and of
    both together in ``requests``: its passes are those of the decode workers. ``until`` [s]: the
    end of the last pass where an interrupt ended either, else infinite."""

    prefill: ServedRequests
    decode: ServedRequests
    handed: Counts
    arrived_seconds: Array
    requests: ServedRequests
    until: float


def run_pools(
    stream: RequestStream,
    prefill: WorkerPool,
    decode: WorkerPool,
    transfer_seconds: Array,
    *,
    router: str = LEAST_LOADED,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Chosen = "auto",
) -> PooledRequests:
    """Serve a stream on two pools. The cache of a prompt takes ``transfer_seconds`` [N] over the
    link of an attention rank, one after the other; the pool with fewer ranks sets how many go at
    once. The ``router`` chooses the decode worker when it has arrived; a prefill worker has given
    back its blocks by then. The first token that a user sees is that of the first decode pass: vLLM
    computes the last token of the prompt there again (vllm/v1/core/sched/scheduler.py
    _update_waiting_for_remote_kv), others send with it what the prefill worker made. The host's
    handling of a request counts once. A decode worker that preempts reads the prompt again itself.
    ``progress`` counts what both pools have done, as requests of one: a prefill half.

    Raises:
        InputError: as :func:`planner.scheduler.run.run`.
    """

    def progress_of(pool: int) -> Progress | None:
        return None if progress is None else lambda done: progress((done + pool * count) // 2)

    count = len(stream)
    ones = replace(stream, output_tokens=np.minimum(stream.output_tokens, 1))
    read = _run(ones, prefill, router, seed, progress_of(0), engine, elsewhere=False)
    ready = read.first_seconds - prefill.policy.handling_seconds
    rows = np.flatnonzero(np.isfinite(ready))
    rows = rows[np.argsort(ready[rows], kind="stable")]
    links = min(prefill.all_ranks, decode.all_ranks)
    arrived = _sent(ready[rows], transfer_seconds[rows], links)
    order = np.argsort(arrived, kind="stable")
    handed, arrived = rows[order], arrived[order]
    second = _run(
        _selected(stream, handed, arrived),
        decode,
        router,
        seed,
        progress_of(1),
        engine,
        elsewhere=True,
    )
    ends = [_end(pool) for pool in (read, second) if not pool.complete]
    return PooledRequests(
        read, second, handed, arrived, _joined(read, second, handed), min(ends, default=np.inf)
    )


def _sent(ready: Array, seconds: Array, links: int) -> Array:
    """When caches that are ``ready`` in this order [M] have arrived over so many ``links``."""
    out = ready + seconds
    free = [0.0] * links
    for i, (since, takes) in enumerate(zip(ready.tolist(), seconds.tolist(), strict=True)):
        out[i] = max(since, free[0]) + takes
        heapreplace(free, out[i])
    return out


def _end(served: ServedRequests) -> float:
    passes = len(served.start_seconds)
    return float(served.start_seconds[-1] + served.pass_seconds[-1]) if passes else 0.0


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
    """Both pools as one: prompts as the prefill workers had them, answers as the decode workers."""
    first = np.full(len(read.first_seconds), np.nan)
    last, made = first.copy(), np.zeros_like(read.made_tokens)
    preempted, rejected = read.preempted.copy(), read.rejected.copy()
    first[handed], last[handed] = second.first_seconds, second.last_seconds
    made[handed] = second.made_tokens
    preempted[handed] += second.preempted
    rejected[handed] |= second.rejected
    return replace(
        second,
        first_seconds=first,
        last_seconds=last,
        scheduled_seconds=read.scheduled_seconds,
        preempted=preempted,
        hit_tokens=read.hit_tokens,
        rejected=rejected,
        made_tokens=made,
        complete=read.complete and second.complete,
    )
