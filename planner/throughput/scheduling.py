"""What a closed loop is made of: step times, the load, and how an engine schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record

Array = NDArray[np.float64]


@record
class Stages:
    """Seconds of the slowest of ``count`` pipeline stages in the passes of :class:`StepTimes`, on
    the same grids: every stage but for that one waits."""

    count: int
    decode: Array
    mixed: Array
    group: Array
    everywhere: Array | None = None


@cached_record
class StepTimes:
    """Seconds of a forward pass, tabulated over sequences a rank; between them linear.

    ``batch`` [G] ascending, from 0 on. ``decode`` [G] = T(0, B) at the mean length, 0 for B = 0;
    ``mixed`` [G] = T(I, B), one prompt beside the batch: T(0, B) and what each of its ``chunks``
    adds to a step; ``everywhere`` [G] the same where every attention rank reads a prompt in that
    step, None for one rank. ``group`` = seconds of prompts that are read together, [Q] for 1 … Q
    prompts of every rank in one pass. ``together``: prompts that the token budget of a pass holds,
    below 1 for one longer than it; ``tokens``: of a prompt, or a chunk, that a pass computes.
    ``stages``: the pipeline that a pass goes through; all seconds are then those of one micro-batch
    on its way through every stage, hops included.
    """

    batch: Array
    decode: Array
    mixed: Array
    group: Array
    chunks: int = 1
    together: float = 1.0
    everywhere: Array | None = None
    stages: Stages | None = None
    tokens: float = float("inf")

    @cached_property
    def _columns(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """Batches, and the seconds of ``decode``, ``mixed`` and ``everywhere`` (empty: None)."""
        last = [] if self.everywhere is None else self.everywhere.tolist()
        return self.batch.tolist(), self.decode.tolist(), self.mixed.tolist(), last

    def step(self, batch: float) -> float:
        """T(0, B) [s]."""
        grid, decode, _, _ = self._columns
        return _between(batch, grid, decode)

    def with_prompt(self, batch: float, share: float = 0.0) -> float:
        """T(I, B) [s] where ``share`` of the other ranks read a prompt in the same step."""
        grid, _, mixed, everywhere = self._columns
        alone = _between(batch, grid, mixed)
        if not everywhere or share <= 0:
            return alone
        return (1 - share) * alone + share * _between(batch, grid, everywhere)

    @property
    def prompt(self) -> float:
        """T(I, 0): a prompt on an idle rank [s]."""
        return float(self.mixed[0])


def _between(at: float, grid: Sequence[float], values: Sequence[float]) -> float:
    """``values`` on an ascending ``grid`` at any place: between its points linear, beyond them as
    at the ends. What np.interp is, a tenth as long for one number."""
    if at <= grid[0]:
        return values[0]
    if at >= grid[-1]:
        return values[-1]
    i = bisect_right(grid, at)
    return values[i - 1] + (at - grid[i - 1]) * (
        (values[i] - values[i - 1]) / (grid[i] - grid[i - 1])
    )


@record
class Load:
    """What one replica is asked: requests in flight, lengths, and attention ranks to spread over.

    ``requests`` is the length of a run that starts with all ``concurrency`` requests at once; None
    for the steady state. ``cache_tokens`` is what one rank's cache holds; ``accepted`` the tokens
    of a sequence that one step yields (above 1 with speculative decoding). ``alike``: all requests
    have these very lengths, so that they end, and the next begin, in steps one after the other.
    """

    concurrency: float
    isl: int
    osl: int
    ranks: int = 1
    requests: float | None = None
    cache_tokens: float = float("inf")
    accepted: float = 1.0
    alike: bool = False


@record
class Pipelining:
    """How an engine fills pipeline stages.

    ``single``: one micro-batch in flight, else one a stage. ``exposed``: a stage stands still while
    its host prepares a pass; ``others``: part of the host's time for a sequence that each request
    of the other micro-batches takes too. ``successive``: chunks of a prompt follow each other
    through the stages. ``balanced``: micro-batches are equal; else each takes what waits when its
    turn comes.
    """

    single: bool = False
    exposed: bool = False
    others: float = 0.0
    successive: bool = True
    balanced: bool = True


@record
class Scheduling:
    """How an engine schedules.

    ``exclusive``: prompts run alone, the batch waits. ``reserve``: share of the answer's length
    that admission sets aside (1: never evicts). ``host_seconds`` + ``host_seconds_per_sequence`` ·
    B of host work a step; ``overlapped`` hides it behind the device, all but
    ``exposed_seconds_per_sequence`` · B. ``stream_interval``: tokens sent together.
    ``reading_factor``: what a prompt adds to a pass over the sum of its operators;
    ``prompt_floor_seconds``: least time of a pass that no graph was captured for, in which the host
    launches kernels one by one, ``captured_tokens`` those up to which one was;
    ``handling_seconds`` of host work on a request before and after its pass. ``ahead``: passes that
    are launched before the results of the last one are sent. ``cohorts``: where prompts run alone,
    requests of one length stay together. ``hold_steps``: steps that a prompt is held for others,
    until they fill ``hold_share`` of a pass; ``balance_steps``: steps that it is held until every
    attention rank has one to read.
    """

    exclusive: bool = False
    reserve: float = 1.0
    host_seconds: float = 0.0
    host_seconds_per_sequence: float = 0.0
    overlapped: bool = False
    exposed_seconds_per_sequence: float = 0.0
    stream_interval: int = 1
    reading_factor: float = 1.0
    prompt_floor_seconds: float = 0.0
    captured_tokens: float = 0.0
    handling_seconds: float = 0.0
    ahead: int = 0
    cohorts: bool = True
    hold_steps: int = 0
    hold_share: float = 1.0
    balance_steps: int = 0
    pipelining: Pipelining = Pipelining()

    def mean_hold_steps(self, each: float, concurrent: float) -> float:
        """Steps that a prompt is held on average where ``each`` come in a step and ``concurrent``
        fill a pass: the first of a pass waits for the rest, those meet half of the time."""
        if not self.hold_steps:
            return 0.0
        most = float(self.hold_steps)
        if each > 0:
            most = min(most, self.hold_share * concurrent / each)
        others = each * most
        return most * (1 + others / 2) / (1 + others)

    def step(self, device_seconds: float, batch: float) -> float:
        """A step with the host's share [s]."""
        host = self.host_seconds + self.host_seconds_per_sequence * batch
        if not self.overlapped:
            return device_seconds + host
        return max(device_seconds + self.exposed_seconds_per_sequence * batch, host)
