"""Prompts that pools of prefill workers read, and how long each waits: many pools at once.

The arithmetic is that of :mod:`planner.throughput.pools` for an open stream of requests (nobody
waits for his own answer before he asks again), on arrays: P kinds of workers × N pool sizes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.throughput.queueing import several_servers

Array = NDArray[np.float64]
Int = NDArray[np.int64]
MOST_BUSY = 0.9
"""Share of its highest rate that a pool of prefill workers is planned for: beyond it queues grow
without bound. aiconfigurator 0.12.0 counts on the same share when it matches pools
(sdk/picking.py: _RATE_MATCHING_PREFILL_DEGRADATION_FACTOR, for "pipeline bubble"), of passes that
it first lengthens by 1.1; of decode workers on 0.92 of 1/1.08, where there is no such factor here:
they run at the batch that is told."""
ROUNDS = 48


@cached_record
class PrefillRates:
    """P kinds of prefill workers: ``ranks`` [P] of a worker that step together, ``group`` [P, Q]
    seconds of a pass in which each reads 1 … Q prompts; ``link`` [P] prompts/s whose caches a
    worker can send. With pipeline stages a pass is that of the slowest, which sets the pace, and
    ``later`` [P] the seconds of a prompt in the others (None: nobody has stages)."""

    ranks: Array
    group: Array
    link: Array
    later: Array | None = None

    @cached_property
    def fastest(self) -> Array:
        """Prompts/s of a worker at most [P]: full passes one after the other."""
        return np.asarray(self.ranks * self.group.shape[1] / self.group[:, -1])

    @cached_property
    def planned(self) -> Array:
        """Prompts/s of a worker that a plan counts on [P]."""
        return np.minimum(MOST_BUSY * self.fastest, self.link)

    def pass_of(self, prompts: Array) -> Array:
        """Seconds of passes of ``prompts`` [P, N], between whole numbers linear."""
        if self.group.shape[1] == 1:
            return np.broadcast_to(self.group, prompts.shape)
        low = np.clip(np.floor(prompts).astype(np.int64) - 1, 0, self.group.shape[1] - 2)
        first = np.take_along_axis(self.group, low, axis=1)
        return np.asarray(
            first + (prompts - 1 - low) * (np.take_along_axis(self.group, low + 1, axis=1) - first)
        )

    def prompts(self, rate: Array, servers: Array) -> Array:
        """Prompts of a pass [P, N] at ``rate``: those that come while the last one ran."""
        low = np.ones(rate.shape)
        most = self.group.shape[1]
        if most == 1:
            return low
        high = np.full(rate.shape, float(most))
        for _ in range((2 * most - 3).bit_length()):  # until at most one whole number is between
            middle = 0.5 * (low + high)
            more = self._left_over(rate, servers, middle) > 0
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        knot = np.clip(np.ceil(low), low, high)
        more = self._left_over(rate, servers, knot) > 0
        low, high = np.where(more, knot, low), np.where(more, high, knot)
        first, last = (self._left_over(rate, servers, end) for end in (low, high))
        between = (first > 0) & (last < 0)
        share = np.divide(first, first - last, out=np.ones(rate.shape), where=between)
        counts = low + (high - low) * share
        alone = self._left_over(rate, servers, np.ones(rate.shape)) <= 0
        return np.where(alone, 1.0, counts)

    def _left_over(self, rate: Array, servers: Array, prompts: Array) -> Array:
        """Prompts that come during a pass of ``prompts`` beyond those that the next one reads:
        between whole numbers linear."""
        return np.asarray(rate * self.pass_of(prompts) - prompts * servers)

    def seconds(self, rate: Array, workers: Array) -> Array:
        """Wait and reading of a prompt [s], [P, N], of pools of ``workers`` [N]: the pass under way
        ends first, and what passes do not hold waits as in M/D/c (Sakasegawa)."""
        most = float(self.group.shape[1])
        servers = self.ranks[:, None] * workers[None, :]
        busy = np.minimum(rate / (self.fastest[:, None] * workers[None, :]), 1.0)
        own = self.pass_of(self.prompts(rate, servers))
        slots = servers * most
        with np.errstate(divide="ignore"):
            queue = several_servers(own, busy, slots)
        first = self.pass_of(np.ones(rate.shape))
        under_way = own / 2 * np.minimum(rate * first / workers[None, :], 1.0)
        read = queue + np.where(slots > workers[None, :], under_way, 0.0) + own
        return np.asarray(read if self.later is None else read + self.later[:, None])

    def within(self, limit: Array, workers: Array) -> Array:
        """The highest rates [P, N] that pools of ``workers`` [N] are planned for at which a prompt
        is read within ``limit`` [P] seconds, its wait included; 0 where none is."""
        most = self.planned[:, None] * workers[None, :]
        if np.isposinf(limit).all():
            return np.asarray(most)
        kept = self.seconds(most, workers) <= limit[:, None]
        low, high = np.where(kept, most, 0.0), most
        if kept.all():
            return np.asarray(most)
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            good = self.seconds(middle, workers) <= limit[:, None]
            low, high = np.where(good, middle, low), np.where(good, high, middle)
        first = self.pass_of(np.ones(low.shape))
        if self.later is not None:
            first = first + self.later[:, None]
        alone = first <= limit[:, None]
        return np.where(alone, low, 0.0)
