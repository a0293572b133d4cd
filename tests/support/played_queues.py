"""An oracle of the formulas: ranks with steps by hand, played request by request. Seeded, pure.

Every replica steps by itself, its ranks together. A pass takes waiting prompts in order of arrival,
up to the token budget and the free slots, parts of prompts too, and lasts T(0, B) + k·c on the
busiest rank; prompts that run alone halt the batch. Arrivals are Poisson. Lengths are all the same,
or of a few kinds that are drawn by their shares: prompts are then parts of the rank's.
"""

from __future__ import annotations

import heapq
import random
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.scheduler.rules import LEAST_LOADED, ROUND_ROBIN
from planner.sizing.rank import ServedRank

Array = NDArray[np.float64]
WARM, LIVES = 0.3, 3
"""Requests that are served before the first counts: a share of those that count, and at least so
many for each that is in flight where every rank is half full."""
DONE = 1e-9


@record
class SimulatedKind:
    """Requests that are a ``share`` of all, with prompts of ``size`` times the rank's (at most 1)
    and answers of ``osl`` tokens."""

    share: float
    size: float
    osl: int


@record
class SimulatedRequests:
    """TTFT and TPOT of the requests that count [N], seconds, in order of arrival, and the index of
    the kind that each is of [N]."""

    ttft: Array
    tpot: Array
    kind: NDArray[np.int64]

    def at(self, percentile: float) -> tuple[float, float]:
        """(TTFT, TPOT) at a percentile."""
        return float(np.percentile(self.ttft, percentile)), float(
            np.percentile(self.tpot, percentile)
        )


@dataclass(slots=True)
class _Prompt:
    number: int
    arrived: float
    eligible: int
    left: float
    tokens: int
    begun: float = -1.0
    first: float = 0.0


@dataclass(slots=True)
class _Queue:
    """One rank: prompts that wait, those that hold a slot and are read, the number whose last part
    is in the pass under way, and those that decode in the order in which they end, with the count
    of decode steps at which they do."""

    waiting: deque[_Prompt] = field(default_factory=deque)
    reading: deque[_Prompt] = field(default_factory=deque)
    decoding: deque[tuple[int, _Prompt]] = field(default_factory=deque)
    ending: int = 0
    steps: int = 0

    @property
    def in_service(self) -> int:
        return len(self.reading) + self.ending + len(self.decoding)

    @property
    def burden(self) -> tuple[int, int]:
        """What a router looks at: prompts that are not read yet, then requests in all."""
        unread = len(self.waiting) + len(self.reading) + self.ending
        return unread, unread + len(self.decoding)


class _Replica:
    """Ranks that step together; ``passes`` counts their steps."""

    def __init__(self, rank: ServedRank) -> None:
        self.rank = rank
        self.queues = [_Queue() for _ in range(rank.ranks)]
        self.passes = 0
        self.busy = False

    def begin(self, now: float) -> tuple[float, list[list[_Prompt]], bool]:
        """(seconds of the next pass, prompts that end in it by rank, whether the batch decodes); 0
        seconds where there is nothing to do."""
        rank = self.rank
        passes = [_take(queue, rank, self.passes, now) for queue in self.queues]
        taken, ended = [read for read, _ in passes], [done for _, done in passes]
        reading = sum(read > 0 for read in taken)
        if not reading and not any(queue.decoding for queue in self.queues):
            if not any(queue.waiting for queue in self.queues):
                return 0.0, ended, False
            self.passes += 1  # the passes that were launched ahead have ended with the batch
            return self.begin(now)
        others = max(reading - 1, 0) / max(rank.ranks - 1, 1)
        alone = rank.policy.exclusive and reading > 0
        lasting = max(
            _lasts(rank, len(queue.decoding), read, others, exclusive=alone)
            for queue, read in zip(self.queues, taken, strict=True)
        )
        return lasting, ended, not alone


def _take(
    queue: _Queue,
    rank: ServedRank,
    passes: int,
    now: float,
) -> tuple[float, list[_Prompt]]:
    """(prompts that the next pass reads, parts counted; those that it ends)."""
    while queue.waiting and queue.in_service < rank.slots and queue.waiting[0].eligible <= passes:
        queue.reading.append(queue.waiting.popleft())
    budget, read, done = rank.times.together, 0.0, []
    while queue.reading and budget > DONE:
        prompt = queue.reading[0]
        part = min(prompt.left, budget)
        prompt.begun = now if prompt.begun < 0 else prompt.begun
        prompt.left -= part
        budget -= part
        read += part
        if prompt.left <= DONE:
            done.append(queue.reading.popleft())
    queue.ending = len(done)
    return read, done


def _lasts(rank: ServedRank, batch: int, read: float, others: float, *, exclusive: bool) -> float:
    """Seconds of a pass on one rank."""
    if exclusive:
        return rank.policy.step(read * rank.times.with_prompt(0.0, others), 0.0) if read else 0.0
    if batch:
        return rank.bare(float(batch)) + read * rank.cost(float(batch), others)
    if not read:
        return 0.0
    each = rank.cost(1.0, others)
    once = max(rank.times.with_prompt(0.0, others) - each, 0.0)
    return rank.policy.step(once + read * each, 0.0)


def simulate(
    rank: ServedRank,
    rate: float,
    replicas: int,
    router: str,
    *,
    requests: int,
    seed: int,
    kinds: Sequence[SimulatedKind] = (),
) -> SimulatedRequests:
    """Serve a Poisson stream of ``rate`` requests a second over ``replicas``; ``requests`` of it
    count, after WARM of them. ``kinds`` of requests: none are all of the rank's length."""
    return _Deployment(rank, rate, replicas, router, requests, seed, kinds).played()


class _Deployment:
    def __init__(
        self,
        rank: ServedRank,
        rate: float,
        replicas: int,
        router: str,
        requests: int,
        seed: int,
        kinds: Sequence[SimulatedKind],
    ) -> None:
        self.rank, self.rate, self.router = rank, rate, router
        self.kinds = tuple(kinds) or (SimulatedKind(1.0, 1.0, rank.osl),)
        self.replicas = [_Replica(rank) for _ in range(replicas)]
        self.dice = random.Random(seed)
        requests_held = rate * rank.osl * rank.bare(max(rank.slots / 2, 1.0))
        self.warm = (
            int(
                max(WARM * requests, LIVES * min(requests_held, replicas * rank.ranks * rank.slots))
            )
            + 1
        )
        self.total = requests + self.warm
        self.turn = 0
        self.ttft, self.tpot = np.full(self.total, np.nan), np.full(self.total, np.nan)
        self.kind = np.zeros(self.total, dtype=np.int64)
        self.left = requests

    def played(self) -> SimulatedRequests:
        """All of it; what arrives after the last that counts keeps the load up until that ends."""
        ends: list[tuple[float, int, list[list[_Prompt]], bool]] = []
        arrival, number = self.dice.expovariate(self.rate), 0
        while self.left:
            if not ends or arrival <= ends[0][0]:
                now, index = arrival, self._arrive(number, arrival)
                number += 1
                arrival += self.dice.expovariate(self.rate)
                if self.replicas[index].busy:
                    continue
            else:
                now, index, ended, decodes = heapq.heappop(ends)
                self._end(self.replicas[index], now, ended, decodes)
            replica = self.replicas[index]
            seconds, ended, decodes = replica.begin(now)
            replica.busy = seconds > 0
            if replica.busy:
                heapq.heappush(ends, (now + seconds, index, ended, decodes))
        return SimulatedRequests(
            self.ttft[self.warm :], self.tpot[self.warm :], self.kind[self.warm :]
        )

    def _arrive(self, number: int, now: float) -> int:
        """Put a request where the router says; the index of its replica."""
        count, ranks = len(self.replicas), self.rank.ranks
        if self.router == ROUND_ROBIN:
            place = self.turn
        elif self.router == LEAST_LOADED:
            places = [(self.turn + i) % (count * ranks) for i in range(count * ranks)]
            place = min(places, key=lambda p: self._queue(p).burden)
        else:
            place = self.dice.randrange(count * ranks)
        self.turn = (place + 1) % (count * ranks)
        replica = self.replicas[place % count]
        ahead = self.rank.policy.ahead if replica.busy else 0
        kind = self._drawn(number)
        self._queue(place).waiting.append(
            _Prompt(
                number, now, replica.passes + ahead + replica.busy, kind.size, max(kind.osl - 1, 1)
            )
        )
        return place % count

    def _drawn(self, number: int) -> SimulatedKind:
        """The kind of a request, by their shares."""
        index = 0
        if len(self.kinds) > 1:
            (index,) = self.dice.choices(range(len(self.kinds)), [k.share for k in self.kinds])
        if number < self.total:
            self.kind[number] = index
        return self.kinds[index]

    def _queue(self, place: int) -> _Queue:
        """Ranks in turn: neighbours are of different replicas."""
        count = len(self.replicas)
        return self.replicas[place % count].queues[place // count]

    def _end(
        self,
        replica: _Replica,
        now: float,
        ended: list[list[_Prompt]],
        decodes: bool,
    ) -> None:
        """What a pass that ends has made: first tokens, and answers that are complete."""
        replica.passes += 1
        replica.busy = False
        for queue, done in zip(replica.queues, ended, strict=True):
            queue.steps += decodes
            queue.ending = 0
            while queue.decoding and queue.decoding[0][0] <= queue.steps:
                self._tell(queue.decoding.popleft()[1], now)
            for prompt in done:
                prompt.first = now
                insort(queue.decoding, (queue.steps + prompt.tokens, prompt), key=itemgetter(0))

    def _tell(self, prompt: _Prompt, now: float) -> None:
        if prompt.number >= self.total:
            return
        policy = self.rank.policy
        late = max(policy.prompt_floor_seconds - (prompt.first - prompt.begun), 0.0)
        self.ttft[prompt.number] = prompt.first - prompt.arrived + late + policy.handling_seconds
        self.tpot[prompt.number] = (now - prompt.first) / prompt.tokens
        self.left -= prompt.number >= self.warm
