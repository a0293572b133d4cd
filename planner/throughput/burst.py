"""A burst: requests that come all at once, or as fast as a client lets them, until all are done.

A closed loop at rest has neither a ramp, in which prompts are read while few sequences decode, nor
a tail, in which the last sequences decode alone; the mean over a burst has both. So a burst is
played step by step with the same step times: requests wait, as many as slots and cache hold are
read in the order in which they came, all of them decode together, and whoever ends makes room for
the next.

A pass over q prompts beside B decoding sequences takes T(0, B) + q·c for q ≤ 1 and
T(0, B) + c + G(q) − G(1) beyond, with c = T(I, B) − T(0, B) what one prompt adds and G(q) the
seconds of q prompts that are read together; q is at most the token budget less the B tokens.
Schedulers that read prompts alone pay G(q), and nobody decodes meanwhile. A pipeline is ranks that
step together, as in a closed loop. Runs of requests of one length on pipelines are counted pass by
pass in :mod:`planner.throughput.offline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import ceil, log

import numpy as np

from planner.base.errors import InputError
from planner.base.records import record
from planner.throughput.pipelining import in_lockstep
from planner.throughput.prompt_passes import launch_seconds
from planner.throughput.scheduling import Load, Scheduling, StepTimes

GOLDEN = 0.6180339887498949
"""Steps of this share of the whole spread numbers evenly however many are taken."""
LEAST_BUDGET = 1 / 64
"""Least share of a prompt that a pass reads where decoding takes the budget."""
NEARLY = 1e-9


@record
class BurstRun:
    """A burst from the first request to the last token: ``seconds``, output tokens/s of the
    replica (``rate``), means over requests of TTFT and of TPOT [s], and ``active`` sequences of a
    rank, the mean over time."""

    seconds: float
    rate: float
    ttft: float
    tpot: float
    active: float


def spread_lengths(mean: int, count: int, most: int) -> tuple[int, ...]:
    """``count`` lengths of ``mean`` tokens before they are cut at ``most``, spread as waiting times
    are: what is known of lengths of which only the mean is."""
    return tuple(
        min(max(round(-mean * log(1.0 - (0.5 + i * GOLDEN) % 1.0)), 1), most) for i in range(count)
    )


def burst(
    times: StepTimes,
    load: Load,
    policy: Scheduling,
    *,
    slots: float = float("inf"),
    answers: Sequence[int] = (),
) -> BurstRun:
    """``load.requests`` requests (None: as many as ``load.concurrency``), of which a client keeps
    at most ``load.concurrency`` in flight, on ranks that run at most ``slots`` sequences each (over
    all micro-batches of a pipeline);
    ``answers``: lengths of the answers in order, as often as needed (empty: all ``load.osl``).

    Raises:
        InputError: the cache of a rank holds no request.
    """
    ranks = load.ranks
    times, load, policy = in_lockstep(times, load, policy)
    slots *= ranks / load.ranks
    needed = load.isl + policy.reserve * load.osl
    if load.cache_tokens < needed:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request needs "
            f"{needed:.0f}",
            hint="use more devices, or shorter ones",
        )
    total = max(ceil((load.requests or load.concurrency) / load.ranks), 1)
    client = max(int(load.concurrency / load.ranks), 1)
    room = max(int(min(slots, load.cache_tokens / needed, float(total))), 1)
    lengths = [answers[i % len(answers)] if answers else load.osl for i in range(total)]
    return _Play(times, load, policy, room, client, lengths).run()


class _Play:
    """One rank; the others do the same at the same time."""

    def __init__(
        self,
        times: StepTimes,
        load: Load,
        policy: Scheduling,
        room: int,
        client: int,
        lengths: Sequence[int],
    ) -> None:
        self.times, self.load, self.policy = times, load, policy
        self.room, self.lengths = room, lengths
        self.share = 1.0 if load.ranks > 1 else 0.0
        self.now, self.tokens, self.work = 0.0, 0.0, 0.0
        self.came = [0.0] * min(client, len(lengths))
        self.admitted, self.read = 0, 0.0
        self.reading: deque[int] = deque()
        self.active: list[tuple[float, int]] = []
        self.first = [0.0] * len(lengths)
        self.ended = [0.0] * len(lengths)

    def run(self) -> BurstRun:
        """Play until every request has its last token."""
        while self.admitted < len(self.lengths) or self.reading or self.active:
            self._admit()
            if self.reading:
                self._pass()
            else:
                self._decode()
        count, handling = len(self.lengths), self.policy.handling_seconds
        first = sum(a - b for a, b in zip(self.first, self.came, strict=True)) / count
        between = [
            (end - first) / (length - 1)
            for first, end, length in zip(self.first, self.ended, self.lengths, strict=True)
            if length > 1
        ]
        return BurstRun(
            self.now,
            self.load.ranks * sum(self.lengths) / (self.now + handling),
            first + handling,
            sum(between) / len(between) if between else 0.0,
            self.work / self.now,
        )

    def _admit(self) -> None:
        while self.admitted < len(self.came) and len(self.reading) + len(self.active) < self.room:
            self.reading.append(self.admitted)
            self.admitted += 1

    def _pass(self) -> None:
        """One pass with prompts."""
        batch = float(len(self.active))
        budget = self.times.together
        if not self.policy.exclusive:
            budget -= batch / self.load.isl
        least = min(LEAST_BUDGET, self.times.together)
        quantity = min(max(budget, least), len(self.reading) - self.read)
        launch = launch_seconds(self.times, self.policy, batch, quantity)
        if self.policy.exclusive:
            device = max(self.policy.reading_factor * self._only_prompts(quantity), launch)
            self._spend(self.policy.step(device, 0.0), 0)
        else:
            added = self.policy.reading_factor * self._added(quantity, batch)
            device = max(self.times.step(batch) + added, launch)
            self._spend(self.policy.step(device, batch), 1)
        self.read += quantity
        while self.reading and self.read >= 1.0 - NEARLY:
            self.read -= 1.0
            self._start(self.reading.popleft())
        if not self.reading:
            self.read = 0.0

    def _decode(self) -> None:
        """Steps without prompts, until a sequence ends."""
        batch = float(len(self.active))
        left = (self.active[0][0] - self.tokens) / self.load.accepted
        steps = max(ceil(left - NEARLY), 1)
        self._spend(steps * self.policy.step(self.times.step(batch), batch), steps)

    def _spend(self, seconds: float, steps: int) -> None:
        """Let time pass in which every active sequence takes ``steps``."""
        self.now += seconds
        self.work += seconds * len(self.active)
        self.tokens += steps * self.load.accepted
        while self.active and self.active[0][0] <= self.tokens + NEARLY:
            self._end(heappop(self.active)[1])

    def _start(self, request: int) -> None:
        """The first token of ``request``, out of the pass that read the last of its prompt."""
        self.first[request] = self.now
        if self.lengths[request] > 1:
            heappush(self.active, (self.tokens + self.lengths[request] - 1, request))
        else:
            self._end(request)

    def _end(self, request: int) -> None:
        self.ended[request] = self.now
        if len(self.came) < len(self.lengths):
            self.came.append(self.now)

    def _only_prompts(self, quantity: float) -> float:
        """Seconds of a pass over ``quantity`` prompts and nothing else."""
        if quantity <= 1.0:
            return quantity * self.times.with_prompt(0.0, self.share)
        return self._group(quantity)

    def _added(self, quantity: float, batch: float) -> float:
        """Seconds that ``quantity`` prompts add to a step of ``batch`` sequences."""
        step = self.times.step(batch)
        single = max(self.times.with_prompt(batch, self.share) - step, 0.0)
        if quantity <= 1.0:
            return quantity * single
        return single + max(self._group(quantity) - self._group(1.0), 0.0)

    def _group(self, quantity: float) -> float:
        """G(q) [s]; beyond what is tabulated in proportion."""
        group = self.times.group
        known = len(group)
        if quantity > known:
            return float(group[-1]) * quantity / known
        return float(np.interp(quantity, np.arange(1.0, known + 1), group))
