"""A run of requests of the same lengths that are all given at once, pass by pass.

Nothing is steady in it: requests begin together and end together, the last of them decode in a
batch that empties, and where the cache holds most of them the run is over before it is steady. So
its passes are counted one after the other: those of m micro-batches in turn, each through every
stage of a pipeline (one micro-batch, one stage without it),

    D(n, s) = max(D(n, s − 1), D(n − 1, s)) + x(n),   D(n, 0) = D(n − m, last),

x(n) the time of a stage, its host included, with the sequences and prompts of pass n.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from planner.base.errors import InputError
from planner.base.records import record
from planner.throughput.pipelining import host_of_pass, micro_batches
from planner.throughput.scheduling import Load, Scheduling, StepTimes

MOST_PASSES = 400_000
"""Passes that are counted; a longer run goes on at the pace of what was counted."""


@record
class OfflineRun:
    """``seconds`` of the run of ``requests``; mean ``tpot`` and ``ttft`` of a request, queue
    included; ``rate`` of output tokens a second over the run."""

    seconds: float
    rate: float
    tpot: float
    ttft: float


@record
class Limits:
    """What an engine is started with: ``sequences`` and prompt and decode ``tokens`` of a pass."""

    sequences: float = float("inf")
    tokens: float = float("inf")


def offline_run(times: StepTimes, load: Load, policy: Scheduling, limits: Limits) -> OfflineRun:
    """The run of ``load.requests`` requests (``load.concurrency`` where none are stated), all given
    at once to one replica whose ranks take equal shares.

    Raises:
        InputError: a cache that holds no request.
    """
    held = load.cache_tokens / (load.isl + policy.reserve * load.osl)
    if held < 1:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request needs more",
            hint="use more devices, or shorter ones",
        )
    number = max(int((load.requests or load.concurrency) / load.ranks), 1)
    count = micro_batches(times, load, policy)
    return _Counted(times, load, policy, limits, count, int(min(held, number))).run(number)


class _Counted:
    """The passes of one rank."""

    def __init__(
        self,
        times: StepTimes,
        load: Load,
        policy: Scheduling,
        limits: Limits,
        count: int,
        held: int,
    ) -> None:
        self.count, self.held, self.load, self.policy = count, held, load, policy
        self.most = max(int(min(limits.sequences, held)), 1)
        self.tokens = max(limits.tokens, load.isl + self.most)
        stages = times.stages
        self.stages = 1 if stages is None else stages.count
        sizes = np.arange(self.most + 1, dtype=np.float64)
        slow, mixed = (times.decode, times.mixed) if stages is None else (
            stages.decode,
            stages.mixed,
        )
        if load.ranks > 1:
            mixed = times.everywhere if stages is None else stages.everywhere
            assert mixed is not None
        self.decode = np.interp(sizes, times.batch, slow).tolist()
        self.cost = np.maximum(np.interp(sizes, times.batch, mixed - slow), 0.0).tolist()
        every = np.interp(sizes, times.batch, times.decode)
        hops = every - self.stages * np.array(self.decode)
        self.hops = np.maximum(hops, 0.0).tolist()
        host = host_of_pass(policy, count) if stages is not None else policy
        self.host = (host.host_seconds + host.host_seconds_per_sequence * sizes).tolist()
        self.overlapped = host.overlapped

    def run(self, number: int) -> OfflineRun:
        osl = max(int(self.load.osl / self.load.accepted), 1)
        waiting, inside, passes = number, 0, 0
        batches = [0] * self.count
        ends: list[deque[tuple[int, int]]] = [deque() for _ in range(self.count)]
        free = [0.0] * self.stages
        ready = [0.0] * self.count
        turns = [0] * self.count
        first = last = 0.0
        slot = 0
        while (waiting or inside) and passes < MOST_PASSES:
            batch = batches[slot]
            room = min(self.most - batch, self.held - inside, waiting)
            read = min(room, int((self.tokens - batch) // self.load.isl)) if room > 0 else 0
            if not batch and not read:
                # Nothing to do in this turn: it passes on when the next is ready.
                slot = (slot + 1) % self.count
                passes += 1
                continue
            device = self.decode[batch] + read * self.cost[batch]
            host = self.host[min(batch + read, self.most)]
            device = max(device, host) if self.overlapped else device + host
            at = ready[slot]
            for s in range(self.stages):
                at = max(at, free[s]) + device
                free[s] = at
            at += self.hops[batch]
            ready[slot] = at
            turns[slot] += 1
            if read:
                waiting -= read
                inside += read
                batches[slot] += read
                first += read * ready[slot]
                ends[slot].append((turns[slot] + osl - 1, read))
            while ends[slot] and ends[slot][0][0] <= turns[slot]:
                _, done = ends[slot].popleft()
                batches[slot] -= done
                inside -= done
                last += done * ready[slot]
            slot = (slot + 1) % self.count
            passes += 1
        seconds = max(ready)
        finished = number - waiting - inside
        if finished < number:
            # Counted long enough: the rest goes on at the pace so far.
            seconds *= number / max(finished, 1)
        ttft = first / max(number - waiting, 1)
        tpot = (last / max(finished, 1) - ttft) / max(self.load.osl - 1, 1)
        return OfflineRun(
            seconds, number * self.load.ranks * self.load.osl / seconds, tpot, ttft
        )
