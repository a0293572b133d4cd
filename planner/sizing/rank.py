"""One attention rank under a stream of requests: how long its steps are while prompts come in."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.throughput.lockstep import prompts_in_step
from planner.throughput.pipelining import in_lockstep
from planner.throughput.prompt_passes import added_seconds, reading_seconds
from planner.throughput.scheduling import Load, Scheduling, StepTimes

Array = NDArray[np.float64]
NEVER = 1e9
"""Seconds that stand for a step without end: prompts come faster than they are read."""
TURNS = 30
SETTLED = 1e-10


@cached_record
class ServedRank:
    """What a rank is and what its requests are.

    ``osl`` tokens an answer; ``ranks`` attention ranks of a replica that step together; ``slots``
    requests whose caches the rank holds, at least 1. The lengths of prompts are in ``times``. In a
    pipeline a rank is one micro-batch (:func:`served_rank`).
    ``uneven``: how many times the variance that prompts make in TPOT is that of one length
    (:mod:`planner.sizing.mix`).
    """

    times: StepTimes
    policy: Scheduling
    osl: int
    ranks: int
    slots: int
    uneven: float = 1.0

    def bare(self, batch: float) -> float:
        """A decode step of ``batch`` sequences without prompts [s]."""
        return self.policy.step(self.times.step(batch), batch)

    def cost(self, batch: float, share: float = 0.0) -> float:
        """Seconds that a prompt adds to the steps of ``batch`` sequences, where ``share`` of the
        other ranks read one too."""
        return added_seconds(self.times, self._without_floor, batch, 1.0, share)

    @cached_property
    def _without_floor(self) -> Scheduling:
        return replace(self.policy, prompt_floor_seconds=0.0)

    def own(self, batch: float, share: float = 0.0) -> float:
        """A prompt's own passes [s]."""
        return reading_seconds(self.times, self.policy, batch, 1.0, share)

    def times_without_other_prompts(self, batch: float) -> tuple[float, float, float]:
        """:meth:`bare`, :meth:`cost` and :meth:`own` where no other rank reads, worked out once for
        all rates."""
        known = self._times_at_batch.get(batch)
        if known is None:
            known = self.bare(batch), self.cost(batch), self.own(batch)
            self._times_at_batch[batch] = known
        return known

    @cached_property
    def _times_at_batch(self) -> dict[float, tuple[float, float, float]]:
        return {}


def served_rank(
    times: StepTimes, policy: Scheduling, osl: int, ranks: int, slots: int
) -> ServedRank:
    """One of ``ranks`` attention ranks of a replica, with room for ``slots`` requests at least 1;
    of a pipeline one of its micro-batches, which step together as they do in a closed loop
    (:func:`planner.throughput.pipelining.in_lockstep`). Where fewer requests than micro-batches are
    in flight the pace is still that of one in each."""
    full = Load(float(slots * ranks), 1, osl, ranks)
    steps, spread, host = in_lockstep(times, full, policy)
    return ServedRank(steps, host, osl, spread.ranks, slots * ranks // spread.ranks)


@record
class RankPace:
    """Mean seconds at a rate of requests, by sequences that decode on a rank, arrays [G].

    ``batch`` ascending from 1; ``bare`` a decode step; ``step`` the same with the prompts that come
    in it, NEVER where they come faster than they are read; ``cost`` what a prompt adds, ``own`` its
    own passes; ``share`` of the other ranks read in the same pass.
    """

    batch: Array
    bare: Array
    step: Array
    cost: Array
    own: Array
    share: Array

    def at(self, column: Array, batch: Array | float) -> Array:
        """``column`` [G] at other batches."""
        return np.asarray(np.interp(batch, self.batch, column))

    def slot_seconds(self, osl: int, sequences: Array | float) -> tuple[Array, Array]:
        """(seconds that a request holds its slot where a rank holds ``sequences``, those of them
        that decode): the slot is held while the prompt is read and O − 1 tokens follow."""
        batch = np.maximum(np.asarray(sequences, dtype=np.float64), 1.0)
        decoding, total = batch, batch
        for _ in range(3):
            tokens = max(osl - 1, 0) * self.at(self.step, decoding)
            total = tokens + self.at(self.own, decoding)
            decoding = np.maximum(batch * tokens / total, 1.0)
        return total, decoding


def rank_pace(rank: ServedRank, rate: float) -> RankPace:
    """The steps of ``rank`` while ``rate`` requests a second come to it.

    Of ranks that step together the busiest sets the time: a step lasts S = T(0, B) + m(λS)·c, with
    m prompts on the busiest (:mod:`planner.throughput.lockstep`); S = T/(1 − λc) on one rank.
    """
    grid = rank.times.batch
    batch = np.unique(np.concatenate([grid[(grid >= 1) & (grid < rank.slots)], [1.0, rank.slots]]))
    rows = [_steps(rank, rate, float(b)) for b in batch]
    bare, step, cost, own, share = (np.array(column) for column in zip(*rows, strict=True))
    return RankPace(batch, bare, step, cost, own, share)


def _steps(rank: ServedRank, rate: float, batch: float) -> tuple[float, float, float, float, float]:
    """(decode step, mean step, a prompt's cost, its own passes, share of the others that read)."""
    bare, cost, own = rank.times_without_other_prompts(batch)
    if rank.ranks == 1:
        left = 1.0 - rate * cost
        step = bare / left if left > bare / NEVER else NEVER
        return bare, step, cost, own, 0.0
    if rate * min(cost, rank.cost(batch, 1.0)) >= 1.0:  # the busiest reads no fewer than a rank
        return bare, NEVER, rank.cost(batch, 1.0), rank.own(batch, 1.0), 1.0
    step, share = bare, 0.0
    for _ in range(TURNS):
        reads = prompts_in_step(rank.policy, rate * step, rank.ranks)
        share = reads.share
        cost = rank.cost(batch, share)
        longer = bare + reads.passes * cost
        if longer > NEVER or not longer < np.inf:
            return bare, NEVER, cost, rank.own(batch, share), share
        if longer - step <= SETTLED * step:
            return bare, longer, cost, rank.own(batch, share), share
        step = longer
    # Still rising after many turns: it has no end, or one so far off that no limit is kept.
    return (
        bare,
        NEVER if _rises(rank, rate, batch, step) else step,
        cost,
        rank.own(batch, share),
        share,
    )


def _rises(rank: ServedRank, rate: float, batch: float, step: float) -> bool:
    """Whether a step twice as long would still grow."""
    longer = 2.0 * step
    reads = prompts_in_step(rank.policy, rate * longer, rank.ranks)
    return rank.bare(batch) + reads.passes * rank.cost(batch, reads.share) >= longer
