"""A run of requests of the same lengths that are all given at once, pass by pass.

Nothing is steady in it: requests begin together and end together, the last of them decode in a
batch that empties, and where the cache holds most of them the run is over before it is steady. So
its passes are counted one after the other: those of m micro-batches in turn, each through every
stage of a pipeline (one micro-batch, one stage without it),

    D(n, s) = max(D(n, s − 1), D(n − 1, s)) + x(n),   D(n, 0) = D(n − m, last),

x(n) the time of a stage, its host included, with the sequences and prompts of pass n. Rounds
without prompts or ends are alike and are counted at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from planner.base.errors import InputError
from planner.base.records import record
from planner.throughput.pipelining import host_of_pass, in_flight
from planner.throughput.scheduling import Load, Scheduling, StepTimes


@record
class OfflineRun:
    """``seconds`` of the run; mean ``tpot`` and ``ttft`` of a request [s], its wait included;
    ``rate`` of output tokens a second over the run."""

    seconds: float
    rate: float
    tpot: float
    ttft: float


@record
class PassLimits:
    """What an engine is started with: most ``sequences`` of a pass, and most ``tokens`` of prompts
    and sequences together."""

    sequences: float = float("inf")
    tokens: float = float("inf")


def offline_run(times: StepTimes, load: Load, policy: Scheduling, limits: PassLimits) -> OfflineRun:
    """The run of ``load.requests`` requests (``load.concurrency`` where none are stated), all given
    at once to one replica whose ranks take equal shares.

    Raises:
        InputError: a cache that holds no request.
    """
    sequences = load.cache_tokens / (load.isl + policy.reserve * load.osl)
    if sequences < 1:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request needs "
            f"{load.isl + policy.reserve * load.osl:.0f}",
            hint="use more devices, or shorter ones",
        )
    number = max(round((load.requests or load.concurrency) / load.ranks), 1)
    inside = int(min(sequences, number))
    most = max(int(min(limits.sequences, inside)), 1)
    passes = _pass_times(times, load, policy, most)
    steps = max(round(load.osl / load.accepted), 1)
    tokens = int(min(max(limits.tokens, load.isl + most), 2.0**53))
    counted = _Count(passes, number, inside, most, tokens, load.isl, steps)
    counted.run()
    ttft = counted.first / number
    return OfflineRun(
        counted.seconds,
        number * load.ranks * load.osl / counted.seconds,
        (counted.last / number - ttft) / max(load.osl - 1, 1),
        ttft,
    )


@record
class _PassTimes:
    """Seconds by sequences of a micro-batch, from 0 on: of a ``stage``, what a prompt adds to it,
    and the ``hops`` of a pass; ``policy`` with the host of a pass."""

    micro_batches: int
    stages: int
    stage: list[float]
    prompt: list[float]
    hops: list[float]
    policy: Scheduling

    def of(self, batch: int, prompts: int) -> float:
        """A stage of a pass [s], at least what the host takes to launch its share of the layers
        where it reads prompts."""
        device = self.stage[batch]
        if prompts:
            device += prompts * self.policy.reading_factor * self.prompt[batch]
            device = max(device, self.policy.prompt_floor_seconds / self.stages)
        return self.policy.step(device, batch + prompts)


def _pass_times(times: StepTimes, load: Load, policy: Scheduling, most: int) -> _PassTimes:
    count, stages = in_flight(times, policy), times.stages
    sizes = np.arange(most + 1, dtype=np.float64)
    part = times if stages is None else stages
    mixed = part.mixed if load.ranks == 1 or part.everywhere is None else part.everywhere
    stage = np.interp(sizes, times.batch, part.decode)
    every = np.interp(sizes, times.batch, times.decode)
    number = 1 if stages is None else stages.count
    return _PassTimes(
        count,
        number,
        stage.tolist(),
        np.maximum(np.interp(sizes, times.batch, mixed - part.decode), 0.0).tolist(),
        np.maximum(every - number * stage, 0.0).tolist(),
        policy if stages is None else host_of_pass(policy, count),
    )


@dataclass
class _Count:
    """The passes of one rank: ``waiting`` requests, of which the cache holds ``room`` and a pass
    ``most``, and ``tokens`` of it; each decodes for ``steps``. ``first`` and ``last``: the sums of
    the times of first and last tokens [s]."""

    times: _PassTimes
    waiting: int
    room: int
    most: int
    tokens: int
    isl: int
    steps: int
    inside: int = 0
    first: float = 0.0
    last: float = 0.0
    batches: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    ends: list[deque[tuple[int, int]]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """When the last pass ends."""
        return max(self.ready)

    def run(self) -> None:
        """Until nobody waits or decodes."""
        count = self.times.micro_batches
        self.batches, self.turns, self.ready = [0] * count, [0] * count, [0.0] * count
        self.free = [0.0] * self.times.stages
        self.ends = [deque() for _ in range(count)]
        while self.waiting or self.inside:
            self._alike_rounds()
            for slot in range(count):
                self._pass(slot)

    def _prompts(self, slot: int) -> int:
        """Prompts that the next pass of a micro-batch reads."""
        batch = self.batches[slot]
        most = min(self.most - batch, self.room - self.inside, self.waiting)
        return max(min(most, (self.tokens - batch) // self.isl), 0)

    def _pass(self, slot: int) -> None:
        batch, read = self.batches[slot], self._prompts(slot)
        if not batch + read:
            return
        seconds, at = self.times.of(batch, read), self.ready[slot]
        for stage, free in enumerate(self.free):
            at = max(at, free) + seconds
            self.free[stage] = at
        self.ready[slot] = at = at + self.times.hops[batch]
        self.turns[slot] += 1
        turn, ends = self.turns[slot], self.ends[slot]
        if read:
            self.waiting -= read
            self.inside += read
            self.batches[slot] += read
            self.first += read * at
            ends.append((turn + self.steps - 1, read))
        while ends and ends[0][0] <= turn:
            _, done = ends.popleft()
            self.batches[slot] -= done
            self.inside -= done
            self.last += done * at

    def _alike_rounds(self) -> None:
        """Go through the rounds in which nothing begins or ends."""
        slots = [slot for slot, batch in enumerate(self.batches) if batch]
        if not slots or any(self._prompts(slot) for slot in range(len(self.batches))):
            return
        rounds = min(self.ends[slot][0][0] - self.turns[slot] for slot in slots) - 2
        if rounds < 1:
            return
        each = [self.times.of(self.batches[slot], 0) for slot in slots]
        hops = max(self.times.hops[self.batches[slot]] for slot in slots)
        later = rounds * max(sum(each), self.times.stages * max(each) + hops)
        self.free = [at + later for at in self.free]
        for slot in slots:
            self.turns[slot] += rounds
            self.ready[slot] += later
