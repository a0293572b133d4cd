"""What each of two pools was doing in a replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.plan.record import LayoutInfo
from planner.planning.replay.deployment import Replayed
from planner.planning.replay.over_time import interval_ends, seconds_run
from planner.planning.replay.pools import ReplayedPools
from planner.planning.replay.record import PoolRun, PoolsRun
from planner.requests.stream import RequestStream
from planner.scheduler.pools import PooledRequests
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]


def pools_run(
    where: ReplayedPools, stream: RequestStream, pooled: PooledRequests | None
) -> PoolsRun:
    """Both pools and what went between them, over the time of the whole replay."""
    assert pooled is not None
    count = len(stream)  # fewer than came to the pools where an interrupt ended the replay
    handed = pooled.handed < count
    rows = pooled.handed[handed]
    ends = interval_ends(stream, pooled.requests)
    came = stream.arrival_seconds
    ready = pooled.prefill.first_seconds[rows] - where.prefill.policy.handling_seconds
    waits = pooled.prefill.scheduled_seconds[:count] - came
    later = pooled.decode.scheduled_seconds - pooled.arrived_seconds
    sent = len(rows) > 0
    return PoolsRun(
        _run_of_pool(
            where.prefill, pooled.prefill, _prompts_held(where.prefill, pooled), waits, ends
        ),
        _run_of_pool(where.decode, pooled.decode, pooled.decode.cache_share, later, ends),
        float(where.transfer_bytes(stream.input_tokens[rows]).mean()) if sent else 0.0,
        float((pooled.arrived_seconds[handed] - ready).mean()) if sent else 0.0,
        where.link.name,
        where.link.bytes_per_second,
    )


def _prompts_held(where: Replayed, pooled: PooledRequests) -> Array:
    """Of the cache of prefill workers what the prompts of a pass take [S]: they begin with none."""
    return pooled.prefill.prompt_tokens / (where.layout.dp * where.rules.cache_tokens)


def _run_of_pool(
    where: Replayed, served: ServedRequests, cache: Array, waits: Array, ends: Array
) -> PoolRun:
    """A pool whose passes hold a share ``cache`` [S] of all, and whose requests waited so long each
    [s]; Little's law makes numbers of them."""
    seconds, layout = float(ends[-1]), where.layout
    busy, in_use = _shares(served, cache, ends, where.replicas)
    return PoolRun(
        where.plan.model.question.device.id,
        where.replicas,
        LayoutInfo(layout.tp, layout.dp, layout.pp, layout.ep, where.replicas),
        where.rules.max_sequences,
        where.rules.token_budget,
        where.rules.cache_tokens,
        float(busy.mean()),
        float(in_use.mean()),
        float(cache.max(initial=0.0)),
        float(np.nansum(waits)) / seconds,
        int(served.preempted.sum()),
        tuple(busy.tolist()),
        tuple(in_use.tolist()),
    )


def _shares(served: ServedRequests, share: Array, ends: Array, workers: int) -> tuple[Array, Array]:
    """(share of the time in which workers run, share of the cache in use then) [n] by interval; a
    worker that idles holds nothing."""
    whole = float(ends[0]) * workers
    ran = seconds_run(served, np.ones(len(share)), ends)
    held = seconds_run(served, share, ends)
    # By rounding a pool that never rests may be a last bit above.
    return np.minimum(ran / whole, 1.0), np.minimum(held / whole, 1.0)
