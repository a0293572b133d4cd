"""Disaggregated serving: a pool of prefill workers in front of a pool of decode workers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.base.errors import InputError
from planner.throughput.arrivals import share_of_others
from planner.throughput.pipelining import in_lockstep, prompt_seconds
from planner.throughput.queueing import several_servers
from planner.throughput.scheduling import Load, Scheduling, StepTimes

ROUNDS = 52
"""Halvings of an interval: more than a float has bits of."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Workers of each pool; ``transfer_seconds`` to move a prompt's cache, of which the link takes
    ``link_rate`` a second.

    A prefill worker reads prompts in passes of ``reads`` on each of ``prefill_ranks`` attention
    ranks; both None where prefill workers are like decode workers.
    """

    prefill: int
    decode: int
    transfer_seconds: float
    reads: StepTimes | None = None
    prefill_ranks: int | None = None
    link_rate: float = float("inf")


@dataclass(frozen=True, slots=True)
class PooledLoop:
    """A closed loop over two pools at rest. Times in seconds, ``rate`` in requests/s.

    ``active``: sequences of one rank of a decode worker; ``reading``: a prompt's own pass;
    ``prefill_busy``: share of the prefill
    pool's highest rate; ``decode_busy``: share of what the decode pool finishes when all requests
    (or all that its cache holds) decode; ``balance``: prefill workers that one decode worker needs
    at this batch; ``limit`` prefill, decode (its cache is full) or concurrency.
    """

    tpot: float
    ttft: float
    rate: float
    active: float
    reading: float
    prefill_busy: float
    decode_busy: float
    balance: float
    limit: str


@dataclass(frozen=True, slots=True)
class _System:
    """What the equations share: ``reading`` of prompts; ``ranks`` that decode at most ``most``
    sequences each, of which the cache holds ``held``."""

    times: StepTimes
    load: Load
    policy: Scheduling
    pools: Pools
    reading: PrefillPoolState
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
        tpot = self.tpot(self.active(rate))
        return rate * (
            self.reading.seconds(rate, self.load.concurrency)
            + self.outside_passes
            + tpot * (self.load.osl + 1)
        )

    @property
    def outside_passes(self) -> float:
        """Seconds of a request outside passes: on the way between the pools and at the host."""
        return self.pools.transfer_seconds + self.policy.handling_seconds


@dataclass(frozen=True, slots=True)
class PrefillPoolState:
    """The prefill pool: ``servers`` ranks of ``workers``, whose ranks step together, with up to
    ``together`` prompts each in a pass; ``group`` [Q] are the passes' seconds with 1 … Q prompts,
    ``later`` those that further pipeline stages take after the slowest (0 without them).
    """

    workers: int
    servers: int
    together: int
    group: tuple[float, ...]
    later: float = 0.0

    @property
    def fastest(self) -> float:
        """Requests/s that the pool reads at most."""
        return self.servers * self.together / self.pass_of(self.together)

    def pass_of(self, prompts: float) -> float:
        """Seconds of a pass of ``prompts``, between whole numbers linear."""
        return float(np.interp(prompts, np.arange(1, len(self.group) + 1), self.group))

    def prompts(self, rate: float) -> float:
        """Prompts of a pass: those that come while the last pass ran, k = rate·S(k)/servers."""
        low, high = 1.0, float(self.together)
        if rate * self.pass_of(1) <= self.servers:
            return 1.0
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            more = rate * self.pass_of(middle) > middle * self.servers
            low, high = (middle, high) if more else (low, middle)
        return high

    def seconds(self, rate: float, concurrency: float) -> float:
        """Wait and reading of a prompt [s], infinite from the highest rate on.

        Where a pass is shared, the one under way ends first, on average half of it where its worker
        is busy; what passes do not hold waits as in M/D/c (Sakasegawa).
        """
        busy = rate / self.fastest
        if busy >= 1:
            return float("inf")
        others = share_of_others(concurrency)
        own = self.pass_of(self.prompts(rate))
        slots = self.servers * self.together
        queue = float(several_servers(own, busy, slots))
        under_way = 0.0
        if slots > self.workers:
            under_way = own / 2 * min(rate * self.pass_of(1) / self.workers, 1.0)
        return float(others * (queue + under_way) + own + self.later)

    def burst(self, prompts: float) -> float:
        """Mean wait and reading of ``prompts`` that come at once [s]."""
        each = prompts / self.servers
        together = max(1.0, min(float(self.together), each))
        return (max(each / together, 1.0) + 1) / 2 * self.pass_of(together) + self.later


def pooled_loop(times: StepTimes, load: Load, policy: Scheduling, pools: Pools) -> PooledLoop:
    """The steady state of ``load.concurrency`` requests over all workers.

    A request waits for a prefill rank and is read in W, moves, and decodes for O·TPOT(B),
    B = rate·O·TPOT/(workers·ranks); by Little's law C = rate·(W + transfer + handling +
    TPOT·(O + 1)). No prompt interrupts decoding. A run that starts with all requests at once
    (``load.requests``) has them wait for the prefill pool together once.

    Raises:
        InputError: no worker, or a cache that holds no request.
    """
    reading = _reading(times, load, policy, pools)
    each = replace(load, concurrency=load.concurrency / max(pools.decode, 1))
    steps, spread, host = in_lockstep(times, each, policy)
    system = _system(steps, replace(spread, concurrency=load.concurrency), host, pools, reading)
    fastest = system.reading.fastest
    ceiling = system.highest(max(system.most, 1.0))
    low, high = 0.0, min(fastest * (1 - 1e-9), ceiling, pools.link_rate)
    for _ in range(ROUNDS):
        rate = 0.5 * (low + high)
        low, high = (low, rate) if system.inside(rate) > load.concurrency else (rate, high)
    rate, active = low, system.active(low)
    tpot = system.tpot(active)
    least = system.reading.pass_of(1) + system.reading.later + system.outside_passes + tpot
    ttft = max(load.concurrency / rate - load.osl * tpot, least)
    if load.requests is not None:
        share = min(load.concurrency / load.requests, 1.0)
        first = system.reading.burst(load.concurrency) + system.outside_passes + tpot
        ttft = share * max(first, ttft) + (1 - share) * ttft
    limit = "prefill" if rate > 0.98 * fastest else "concurrency"
    if (
        limit != "prefill"
        and system.held < load.concurrency / system.ranks
        and rate > 0.98 * ceiling
    ):
        limit = "decode"
    service = (
        system.reading.pass_of(system.reading.together)
        / system.reading.together
        * load.ranks
        / (pools.prefill_ranks or load.ranks)
    )
    active *= spread.ranks / load.ranks
    return PooledLoop(
        tpot,
        ttft + (policy.stream_interval - 1) * tpot,
        rate,
        active,
        system.reading.pass_of(system.reading.prompts(rate)) + system.reading.later,
        rate / fastest,
        rate / ceiling,
        service * max(active, 1.0) / (load.osl * tpot),
        limit,
    )


def decode_tpot(
    times: StepTimes, load: Load, policy: Scheduling, workers: int, rate: float
) -> float:
    """Seconds a token of ``workers`` that only decode and answer ``rate`` requests/s, ``load`` at
    the most on each: that of the batch that the rate keeps there."""
    pools = Pools(1, workers, 0.0)
    reading = _reading(times, load, policy, pools)
    steps, spread, host = in_lockstep(times, load, policy)
    spread = replace(spread, concurrency=load.concurrency * workers)
    system = _system(steps, spread, host, pools, reading)
    return system.tpot(system.active(rate))


def _system(
    times: StepTimes, load: Load, policy: Scheduling, pools: Pools, reading: PrefillPoolState
) -> _System:
    if pools.prefill < 1 or pools.decode < 1:
        raise InputError(
            f"{pools.prefill} prefill and {pools.decode} decode workers",
            hint="each pool has at least one",
        )
    each = load.isl + policy.reserve * load.osl
    sequences_held = load.cache_tokens / each
    if sequences_held < 1:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request "
            f"needs {each:.0f}",
            hint="use more devices, or shorter ones",
        )
    ranks = pools.decode * load.ranks
    return _System(
        times,
        load,
        policy,
        pools,
        reading,
        ranks,
        sequences_held,
        min(sequences_held, load.concurrency / ranks),
    )


def reading_seconds(reads: StepTimes, policy: Scheduling) -> tuple[float, ...]:
    """Seconds of passes of a prefill worker whose ranks read 1 … Q prompts each, host included; in
    a pipeline those of its slowest stage, which sets the pace."""
    part, stages = (reads, 1) if reads.stages is None else (reads.stages, reads.stages.count)
    passes = (float(part.mixed[0]),) if reads.together < 2 else tuple(part.group.tolist())
    floor = policy.prompt_floor_seconds / stages
    return tuple(policy.step(max(t, floor), 0.0) for t in passes)


def later_seconds(reads: StepTimes, policy: Scheduling) -> float:
    """Seconds that a prompt takes in further pipeline stages after its passes in the slowest; 0
    without stages."""
    if reads.stages is None:
        return 0.0
    return prompt_seconds(reads, policy) - float(reads.stages.mixed[0])


def _reading(times: StepTimes, load: Load, policy: Scheduling, pools: Pools) -> PrefillPoolState:
    reads = pools.reads or times
    passes = reading_seconds(reads, policy)
    ranks = pools.prefill * (pools.prefill_ranks or load.ranks)
    return PrefillPoolState(pools.prefill, ranks, len(passes), passes, later_seconds(reads, policy))
