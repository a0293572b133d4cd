"""Disaggregated serving: a pool of prefill workers in front of a pool of decode workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.errors import InputError
from planner.throughput.serving import Load, Scheduling, StepTimes

ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Pools:
    """Workers of each pool, alike in layout; ``transfer_seconds`` to move one prompt's cache."""

    prefill: int
    decode: int
    transfer_seconds: float


@dataclass(frozen=True, slots=True)
class PooledLoop:
    """A closed loop over two pools at rest. Times in seconds, ``rate`` in requests/s.

    ``active``: sequences of one rank of a decode worker; ``prefill_busy``: share of the prefill
    pool's highest rate; ``decode_busy``: share of what the decode pool finishes when all requests
    (or all that its cache holds) decode; ``balance``: prefill workers that one decode worker needs
    at this batch; ``limit`` prefill, decode (its cache is full) or concurrency.
    """

    tpot: float
    ttft: float
    rate: float
    active: float
    prefill_busy: float
    decode_busy: float
    balance: float
    limit: str


@dataclass(frozen=True, slots=True)
class _System:
    """What the equations share: ``servers`` prompts read at once in ``service`` seconds; ``ranks``
    that decode at most ``most`` sequences each, of which the cache holds ``held``."""

    times: StepTimes
    load: Load
    policy: Scheduling
    pools: Pools
    service: float
    servers: int
    ranks: int
    held: float
    most: float

    def tpot(self, active: float) -> float:
        """Seconds a token; a request never decodes in a batch of less than itself."""
        batch = max(active, 1.0)
        return self.policy.step(self.times.step(batch), batch) / self.load.accepted

    def highest(self, batch: float) -> float:
        """Requests/s that the decode pool finishes with ``batch`` sequences a rank."""
        return batch * self.ranks / (self.load.osl * self.tpot(batch))

    def active(self, rate: float) -> float:
        """B = rate·O·TPOT(B)/ranks, the smallest solution up to ``most``."""
        low, high = 0.0, self.most
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            needed = rate * self.load.osl * self.tpot(middle) / self.ranks
            low, high = (middle, high) if needed > middle else (low, middle)
        return high

    def inside(self, rate: float) -> float:
        """Requests in the system at ``rate``."""
        busy = rate * self.service / self.servers
        if busy >= 1:
            return float("inf")
        others = max(self.load.concurrency - 1, 0) / self.load.concurrency
        wait = others * self.service / 2 * busy ** (np.sqrt(2 * (self.servers + 1)) - 1) \
            / (self.servers * (1 - busy))
        tpot = self.tpot(self.active(rate))
        return float(rate * (wait + self.service + self.pools.transfer_seconds
                             + tpot * (self.load.osl + 1)))


def pooled_loop(times: StepTimes, load: Load, policy: Scheduling, pools: Pools) -> PooledLoop:
    """The steady state of ``load.concurrency`` requests over all workers.

    A request waits for a prefill worker (M/D/c, Sakasegawa's formula: W = S/2·ρ^(√(2(c+1))−1) /
    (c·(1−ρ))), is read in S, moves, and decodes for O·TPOT(B), B = rate·O·TPOT/(workers·ranks);
    by Little's law C = rate·(W + S + transfer + TPOT·(O + 1)). No prompt interrupts decoding.

    Raises:
        InputError: no worker, or a cache that holds no request.
    """
    system = _system(times, load, policy, pools)
    fastest = system.servers / system.service
    ceiling = system.highest(max(system.most, 1.0))
    low, high = 0.0, min(fastest * (1 - 1e-9), ceiling)
    for _ in range(ROUNDS):
        rate = 0.5 * (low + high)
        low, high = (low, rate) if system.inside(rate) > load.concurrency else (rate, high)
    rate, active = low, system.active(low)
    tpot = system.tpot(active)
    least = system.service + pools.transfer_seconds + tpot
    ttft = max(load.concurrency / rate - load.osl * tpot, least)
    limit = "prefill" if rate > 0.98 * fastest else "concurrency"
    if limit != "prefill" and system.held < load.concurrency / system.ranks \
            and rate > 0.98 * ceiling:
        limit = "decode"
    return PooledLoop(
        tpot, ttft + (policy.stream_interval - 1) * tpot, rate, active, rate / fastest,
        rate / ceiling, system.service * max(active, 1.0) / (load.osl * tpot), limit)


def _system(times: StepTimes, load: Load, policy: Scheduling, pools: Pools) -> _System:
    if pools.prefill < 1 or pools.decode < 1:
        raise InputError(f"{pools.prefill} prefill and {pools.decode} decode workers",
                         hint="each pool has at least one")
    each = load.isl + policy.reserve * load.osl
    held = load.cache_tokens / each
    if held < 1:
        raise InputError(f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request "
                         f"needs {each:.0f}", hint="use more devices, or shorter ones")
    ranks = pools.decode * load.ranks
    service = policy.step(max(times.prompt, policy.prompt_floor_seconds), 0.0)
    return _System(times, load, policy, pools, service, pools.prefill * load.ranks, ranks, held,
                   min(held, load.concurrency / ranks))
