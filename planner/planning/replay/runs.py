"""A stream through a deployment: as it is priced, and at both ends of what its passes may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from planner.base.records import record
from planner.planning.plan.evidence import Evidence
from planner.planning.price.plan_kinds import evidence_here
from planner.planning.replay.deployment import Replayed, at_interval_ends, kind_at
from planner.planning.replay.pools import ReplayedPools, worker_pool
from planner.planning.replay.rates import in_flight, mean_batch
from planner.requests.stream import RequestStream
from planner.scheduler.costs import StepCosts
from planner.scheduler.pools import PooledRequests, run_pools
from planner.scheduler.rules import LEAST_LOADED
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests

METRICS = ("ttft", "tpot", "throughput")
"""Of served deployments, what is known of each kind."""


FOLDED_FROM = 2_000_000
"""Requests of a stream from which its passes are folded as they come: rows of all would take more
memory than the requests."""


@record
class Routing:
    """How replicas share requests, by a ``seed``; ``progress`` is told how many were served,
    and how many come."""

    router: str = LEAST_LOADED
    seed: int = 0
    progress: Callable[[int, int], None] | None = None


@record
class Played:
    """What became of ``requests``, and in which of two ``pools``; ``until`` [s]: where an interrupt
    ended it, else infinite."""

    requests: ServedRequests
    until: float
    pools: PooledRequests | None = None


@record
class Ends:
    """A deployment with passes at the lower (``fast``) and the upper end (``slow``) of their 80 %
    interval, the ``basis`` of it, and the ``evidence`` for each metric."""

    fast: Replayed | ReplayedPools
    slow: Replayed | ReplayedPools
    basis: str
    evidence: Mapping[str, Evidence]


@record
class Runs:
    """What was served with passes as priced (``middle``), and at the lower (``fast``) and the upper
    end (``slow``) of their 80 % interval. ``basis`` of their times; ``evidence`` by metric.
    ``stream``: the requests that came until it ended; ``pools``: where each was served, as priced.
    ``complete``: no interrupt ended a run early;
    else the ends have the times of ``middle``, longer as passes are, for no queue was replayed with
    them."""

    stream: RequestStream
    middle: ServedRequests
    fast: ServedRequests
    slow: ServedRequests
    basis: str
    evidence: Mapping[str, Evidence]
    pools: PooledRequests | None = None
    complete: bool = True

    @property
    def every(self) -> tuple[ServedRequests, ServedRequests, ServedRequests]:
        """The three, as priced first."""
        return self.middle, self.fast, self.slow


def play(where: Replayed | ReplayedPools, stream: RequestStream, how: Routing) -> Played:
    """``stream`` through all replicas, or through both pools."""
    told, count = how.progress, len(stream)
    progress = None if told is None else lambda done: told(done, count)
    if isinstance(where, ReplayedPools):
        pooled = run_pools(
            stream,
            worker_pool(where.prefill),
            worker_pool(where.decode),
            where.transfer_seconds(stream.input_tokens),
            router=how.router,
            seed=how.seed,
            progress=progress,
        )
        return Played(pooled.requests, pooled.until, pooled)
    served = run(
        stream,
        where.rules,
        where.costs,
        where.policy,
        ranks=where.layout.dp,
        replicas=where.replicas,
        router=how.router,
        seed=how.seed,
        progress=progress,
        fold=count >= FOLDED_FROM,
    )
    return Played(served, np.inf if served.complete else _end(served))


def _end(served: ServedRequests) -> float:
    """When the last pass ended [s]."""
    if served.folded is not None:
        return served.folded.end
    return float(served.start_seconds[-1] + served.pass_seconds[-1]) if len(served.waiting) else 0.0


def served(where: Replayed | ReplayedPools, stream: RequestStream, how: Routing) -> ServedRequests:
    """What became of ``stream``."""
    return play(where, stream, how).requests


def three_runs(where: Replayed | ReplayedPools, stream: RequestStream, how: Routing) -> Runs:
    """``stream`` three times, by the same draws, so that queues widen intervals as they would."""
    played = play(where, stream, how)
    ends = ends_of(where, stream, played)
    middle = played.requests
    if middle.complete:
        lower = _times_alone(play(ends.fast, stream, how).requests)
        upper = lower
        if lower.complete:
            upper = _times_alone(play(ends.slow, stream, how).requests)
        if upper.complete:
            return Runs(stream, middle, lower, upper, ends.basis, ends.evidence, played.pools)
    stream, middle = _until(stream, middle, played.until)
    lower, upper = (
        _stretched(stream, middle, *_longer(where, end)) for end in (ends.fast, ends.slow)
    )
    return Runs(
        stream, middle, lower, upper, ends.basis, ends.evidence, played.pools, complete=False
    )


def _times_alone(served: ServedRequests) -> ServedRequests:
    """What times and rates are made of: passes are many more than requests."""
    none = np.zeros(0, dtype=np.int32)
    if served.folded is not None:
        few = np.zeros(0, dtype=np.int64)
        return replace(served, preempted=few, hit_tokens=few)
    return replace(served, prompt_tokens=none, waiting=none, cache_share=np.zeros(0))


def ends_of(where: Replayed | ReplayedPools, stream: RequestStream, played: Played) -> Ends:
    """Both ends of the interval of its passes, by the batches that it ran."""
    requests = in_flight(stream, played.requests)
    if isinstance(where, Replayed):
        requests /= where.replicas
        batch = mean_batch(played.requests) / where.layout.dp
        fast, slow, basis = at_interval_ends(where, batch, requests, stream)
        kinds = dict.fromkeys(METRICS, where)
        return Ends(fast, slow, basis, _evidence(kinds, requests))
    assert played.pools is not None
    reading, decoding = where.prefill, where.decode
    batch = mean_batch(played.pools.decode) / decoding.layout.dp
    fast_reads, slow_reads, _ = at_interval_ends(reading, 1.0, requests, stream)
    fast, slow, basis = at_interval_ends(decoding, batch, requests, stream)
    return Ends(
        replace(where, prefill=fast_reads, decode=fast),
        replace(where, prefill=slow_reads, decode=slow),
        basis,
        _evidence(dict.fromkeys(METRICS, decoding) | {"ttft": reading}, requests),
    )


def _evidence(where: Mapping[str, Replayed], requests: float) -> dict[str, Evidence]:
    return {
        name: evidence_here(one.plan.model.question, kind_at(one, requests), name)
        for name, one in where.items()
    }


def _until(
    stream: RequestStream, served: ServedRequests, end: float
) -> tuple[RequestStream, ServedRequests]:
    """The requests that came before ``end`` [s], and what became of them."""
    count = max(int(np.searchsorted(stream.arrival_seconds, end, side="right")), 1)
    until = slice(count)
    return (
        replace(
            stream,
            arrival_seconds=stream.arrival_seconds[until],
            input_tokens=stream.input_tokens[until],
            output_tokens=stream.output_tokens[until],
            cached_tokens=stream.cached_tokens[until],
            block_start=stream.block_start[: count + 1],
        ),
        replace(
            served,
            first_seconds=served.first_seconds[until],
            last_seconds=served.last_seconds[until],
            scheduled_seconds=served.scheduled_seconds[until],
            preempted=served.preempted[until],
            hit_tokens=served.hit_tokens[until],
            rejected=served.rejected[until],
            made_tokens=served.made_tokens[until],
        ),
    )


def _longer(where: Replayed | ReplayedPools, end: Replayed | ReplayedPools) -> tuple[float, float]:
    """How many times as long decode steps and prompts are at an ``end``."""
    step = _decoding(end).decode.sum() / _decoding(where).decode.sum()
    return float(step), float(_reading(end).mixed.sum() / _reading(where).mixed.sum())


def _decoding(where: Replayed | ReplayedPools) -> StepCosts:
    return (where.decode if isinstance(where, ReplayedPools) else where).costs


def _reading(where: Replayed | ReplayedPools) -> StepCosts:
    return (where.prefill if isinstance(where, ReplayedPools) else where).costs


def _stretched(
    stream: RequestStream, served: ServedRequests, step: float, prompt: float
) -> ServedRequests:
    """Times until the first token ``prompt`` times as long, and after it ``step`` times."""
    came = stream.arrival_seconds
    first = came + (served.first_seconds - came) * prompt
    folded = served.folded
    if folded is not None:  # which of its passes read prompts is not known any more
        folded = replace(folded, gap_seconds=folded.gap_seconds * step)
    return replace(
        served,
        first_seconds=first,
        last_seconds=first + (served.last_seconds - served.first_seconds) * step,
        scheduled_seconds=came + (served.scheduled_seconds - came) * prompt,
        pass_seconds=served.pass_seconds * np.where(served.prompt_tokens > 0, prompt, step),
        folded=folded,
    )
