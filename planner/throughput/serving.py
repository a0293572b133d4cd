"""A served model in a closed loop: from step times to TPOT and TTFT at a concurrency.

Mean field: with D = O·TPOT the time a request decodes and W its TTFT, a request holds a decode slot
for D of every D + W, so B = C/d · D/(D + W) sequences decode on each of d attention ranks, and

    TPOT = T(0, B) + E[prompts a step] · (T(I, B) − T(0, B))

where T(p, B) is one forward pass over p prompt tokens and B decoding sequences. A scheduler that
runs prefill alone pays T(I, 0) instead of the difference. The equations hold until the cache is
full; then B stays at what the cache admits and the queue takes the rest (Little's law).

W is the rest of the step under way, the wait for a pass with room, and the prompt's own pass. Where
prompts are mixed in, a pass reads all that wait, up to q by the token budget; k of them arrive in a
step, Poisson with mean n = B·accepted/O, so with c = T(I, B) − T(0, B) and S = T(0, B) + k·c a
step, E[S²]/E[S] = E[S] + c²·n/E[S] is the step that an arrival falls into: half of it passes before
the next, and n/E[S] times it are the prompts of the same pass. Beyond q the queue is that of M/D/q
(Sakasegawa). B + X·W = C/d with X = B/D has one root in B, as the left side rises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError
from planner.throughput.arrivals import prompts_a_step
from planner.throughput.waiting import Arriving, exclusive_wait, mixed_wait

Array = NDArray[np.float64]
HALVINGS = 60


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a forward pass, tabulated over sequences a rank; between them linear.

    ``batch`` [G] ascending, from 0 on. ``decode`` [G] = T(0, B) at the mean length, 0 for B = 0;
    ``mixed`` [G] = T(I, B), one prompt beside the batch: T(0, B) and what each of its ``chunks``
    adds to a step; ``everywhere`` [G] the same where every attention rank reads a prompt in that
    step, None for one rank. ``group`` = seconds of prompts that are read together, [Q] for 1 … Q
    prompts of every rank in one pass. ``together``: prompts that the token budget of a pass holds,
    below 1 for one longer than it.
    """

    batch: Array
    decode: Array
    mixed: Array
    group: Array
    chunks: int = 1
    together: float = 1.0
    everywhere: Array | None = None

    def step(self, batch: float) -> float:
        """T(0, B) [s]."""
        return float(np.interp(batch, self.batch, self.decode))

    def with_prompt(self, batch: float, share: float = 0.0) -> float:
        """T(I, B) [s] where ``share`` of the other ranks read a prompt in the same step."""
        alone = float(np.interp(batch, self.batch, self.mixed))
        if self.everywhere is None or share <= 0:
            return alone
        return (1 - share) * alone + share * float(np.interp(batch, self.batch, self.everywhere))

    @property
    def prompt(self) -> float:
        """T(I, 0): a prompt on an idle rank [s]."""
        return float(self.mixed[0])


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How an engine schedules.

    ``exclusive``: prompts run alone, the batch waits. ``reserve``: share of the answer's length
    that admission sets aside (1: never evicts). ``host_seconds`` + ``host_seconds_per_sequence`` ·
    B of host work a step; ``overlapped`` hides it behind the device. ``stream_interval``: tokens
    sent together. ``prompt_floor_seconds``: least time of a pass that no graph was captured for, in
    which the host launches kernels one by one; ``handling_seconds`` of host work on a request
    before and after its pass. ``ahead``: passes that are launched before the results of the last
    one are sent. ``hold_steps``: steps that a prompt is held for others, until they fill ``hold_share`` of a
    pass; ``balance_steps``: steps that it is held until every attention rank has one to read.
    """

    exclusive: bool = False
    reserve: float = 1.0
    host_seconds: float = 0.0
    host_seconds_per_sequence: float = 0.0
    overlapped: bool = False
    stream_interval: int = 1
    prompt_floor_seconds: float = 0.0
    handling_seconds: float = 0.0
    ahead: int = 0
    hold_steps: int = 0
    hold_share: float = 1.0
    balance_steps: int = 0

    def held(self, each: float, together: float) -> float:
        """Steps that a prompt is held on average where ``each`` come in a step and ``together``
        fill a pass: the first of a pass waits for the rest, those meet half of the time."""
        if not self.hold_steps:
            return 0.0
        most = float(self.hold_steps)
        if each > 0:
            most = min(most, self.hold_share * together / each)
        others = each * most
        return most * (1 + others / 2) / (1 + others)

    def step(self, device_seconds: float, batch: float) -> float:
        """A step with the host's share [s]."""
        host = self.host_seconds + self.host_seconds_per_sequence * batch
        return max(device_seconds, host) if self.overlapped else device_seconds + host


@dataclass(frozen=True, slots=True)
class Served:
    """A closed loop at rest. Times in seconds.

    ``active``: sequences that decode on one rank; ``interruption``: the part of TPOT that prompts
    take; ``host``: the part that the host takes; ``utilisation``: share of time in passes that read
    prompts; ``full``: the cache limits the batch.
    """

    tpot: float
    ttft: float
    active: float
    interruption: float
    host: float
    utilisation: float
    full: bool


@dataclass(frozen=True, slots=True)
class _State:
    """The loop with ``active`` sequences decoding a rank [s]: TPOT with its ``interruption`` and
    ``host`` parts, the ``wait`` before a prompt is read and its ``reading``, the share ``busy`` of
    time in passes with prompts, and the ``least`` time a prompt takes of a rank."""

    active: float
    tpot: float
    interruption: float
    host: float
    wait: float
    reading: float
    busy: float
    least: float

    def slots(self, osl: int) -> float:
        """Sequences a rank that hold cache: those that decode, and the prompts being read."""
        return self.active * (1 + self.reading / (osl * self.tpot))

    def inside(self, osl: int) -> float:
        """Requests a rank in all: B + X·W with X = B/(O·TPOT), without end where prompts cannot be
        read at that rate."""
        if self.active * self.least > osl * self.tpot:
            return float("inf")
        return self.active * (1 + (self.wait + self.reading) / (osl * self.tpot))


def closed_loop(times: StepTimes, load: Load, policy: Scheduling) -> Served:
    """The steady state of ``load`` under ``policy``.

    Raises:
        InputError: a load below one request or token, or a cache that holds no request.
    """
    _check(load)
    limit = load.cache_tokens / (load.isl + policy.reserve * load.osl)
    if limit < 1:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request needs "
            f"{load.isl + policy.reserve * load.osl:.0f}", hint="use more devices, or shorter ones")
    asked = load.concurrency / load.ranks
    osl = load.osl
    if load.alike and policy.exclusive and asked <= limit:
        return _cohort(times, load, policy, asked)
    free = _largest(times, load, policy, asked, lambda s: s.inside(osl) <= asked)
    if free.slots(osl) <= limit * (1 + 1e-9):
        return _served(free, _by_little(load, free), policy, full=False)
    full = _largest(times, load, policy, limit, lambda s: s.slots(osl) <= limit)
    return _served(full, _queued(times, load, policy, full), policy, full=True)


def _check(load: Load) -> None:
    if load.concurrency < 1 or load.isl < 1 or load.osl < 1 or load.ranks < 1:
        raise InputError(f"a load of {load.concurrency:g} requests of {load.isl} + {load.osl} "
                         "tokens", hint="every count is at least 1")


def _cohort(times: StepTimes, load: Load, policy: Scheduling, asked: float) -> Served:
    """Requests of one length whose prompts run alone: nobody decodes while prompts are read, so all
    end in the same step and the next are read together, in groups. Of k groups a request waits for
    half of those before its own, and stands still for half of those behind it."""
    together = max(1, min(len(times.group), int(asked)))
    group = policy.step(max(float(times.group[together - 1]), policy.prompt_floor_seconds), 0.0)
    groups = max(asked / together, 1.0)
    device = times.step(max(asked, 1.0))
    step = policy.step(device, asked)
    tokens = load.accepted
    interruption = (groups - 1) / 2 * group / load.osl
    ttft = (groups + 1) / 2 * group + policy.handling_seconds + policy.ahead * step
    tpot = step / tokens + interruption
    busy = groups * group / (groups * group + load.osl * step / tokens)
    return Served(tpot, ttft + (policy.stream_interval - 1) * tpot, asked, interruption,
                  (step - device) / tokens, busy, False)


def _served(state: _State, ttft: float, policy: Scheduling, *, full: bool) -> Served:
    return Served(state.tpot, ttft + (policy.stream_interval - 1) * state.tpot, state.active,
                  state.interruption, state.host, state.busy, full)


def _largest(times: StepTimes, load: Load, policy: Scheduling, most: float,
             fits: Callable[[_State], bool]) -> _State:
    """The state with the largest batch up to ``most`` that ``fits``, by halving."""
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if fits(_state(times, load, policy, middle)) else (low, middle)
    return _state(times, load, policy, low)


def _state(times: StepTimes, load: Load, policy: Scheduling, active: float) -> _State:
    """What ``active`` sequences a rank make of the loop."""
    # A request never decodes in a batch of less than itself, and waits for the others only.
    batch, tokens = max(active, 1.0), load.accepted
    device = times.step(batch)
    step = policy.step(device, batch)
    others = max(load.concurrency - 1, 0) / load.concurrency
    each = active * others * tokens / load.osl
    if load.alike:
        # Each of the others is read once while this request goes round: its own steps, those that
        # it waits for and that which reads it.
        each = others * load.concurrency / load.ranks / (load.osl / tokens + 2 + policy.ahead)
    reads = _together(policy, each, load.ranks)
    cost = _prompt_cost(times, policy, batch, reads.share)
    interruption = reads.passes * cost
    here = Arriving(step, step + interruption, cost,
                    _prompt_seconds(times, policy, active * others, reads.share), each,
                    reads.ranks, times.together)
    found = exclusive_wait(here) if policy.exclusive else mixed_wait(here)
    queue = found.queue
    if load.requests is not None:
        share = min(load.concurrency / load.requests, 1.0)
        burst = burst_wait(times, policy, load.concurrency / load.ranks)
        queue = share * burst + (1 - share) * queue if share < 1 else burst
    # Nothing is under way where no other request decodes.
    company = min(active * load.ranks * others, 1.0)
    late = company * (_under_way(times, policy, here, found.late, alike=load.alike)
                      + (policy.held(each, times.together) + reads.held) * here.mean)
    return _State(active, (step + interruption) / tokens, interruption / tokens,
                  (step - device) / tokens, queue + late + policy.handling_seconds,
                  found.reading, found.busy,
                  found.least)


@dataclass(frozen=True, slots=True)
class _Together:
    """How ranks that step together read: ``passes`` with prompts a step, ``share`` of the other
    ranks that read in the same pass, ``ranks`` whose prompts come independently, and the steps that
    a prompt is ``held`` for them."""

    passes: float
    share: float
    ranks: int
    held: float


def _together(policy: Scheduling, each: float, ranks: int) -> _Together:
    """``each`` prompts come in a step to each of ``ranks``. A prompt on one rank makes the step long
    for all; held until all have one, they share the step."""
    if ranks <= 1 or each <= 0:
        return _Together(each, 0.0, 1, 0.0)
    if policy.balance_steps:
        # The last of R ranks gets its prompt after (1 + 1/2 + … + 1/R)/n steps.
        window = min(float(policy.balance_steps), sum(1 / k for k in range(1, ranks + 1)) / each)
        reading = ranks * (1 - exp(-each * window))
        reading = min(max(reading, 1.0), float(ranks))
        return _Together(each * ranks / reading, (reading - 1) / (ranks - 1), 1, window / 2)
    reading = ranks * (1 - exp(-each)) / (1 - exp(-each * ranks))
    return _Together(prompts_a_step(each * ranks, ranks), max(reading - 1, 0.0) / (ranks - 1),
                     ranks, 0.0)


def _under_way(times: StepTimes, policy: Scheduling, here: Arriving, late: float, *,
               alike: bool) -> float:
    """Seconds of the passes that are under way or launched when a prompt comes.

    Requests of one length keep the order in which they began, so each comes just behind the one
    before: the passes that it meets read a prompt each, and the first of them has just begun.
    """
    if alike and not policy.exclusive:
        return (1 + policy.ahead) * max(here.alone, here.mean)
    return late + policy.ahead * here.mean


def _prompt_cost(times: StepTimes, policy: Scheduling, active: float, share: float) -> float:
    """Seconds that a prompt adds to the steps of ``active`` sequences a rank, where ``share`` of
    the other ranks read one too. The device's alone: while the host launches a prompt's kernels,
    the device works off the steps that were launched before."""
    if policy.exclusive:
        return policy.step(times.with_prompt(0.0, share), 0.0)
    return max(times.with_prompt(active, share) - times.step(active), 0.0)


def _prompt_seconds(times: StepTimes, policy: Scheduling, active: float, share: float = 0.0,
                    ) -> float:
    """A prompt's own passes [s]."""
    device = times.with_prompt(0.0, share)
    if not policy.exclusive:
        device = times.with_prompt(active, share) + (times.chunks - 1) * times.step(active)
    return policy.step(max(device, policy.prompt_floor_seconds), active)


def burst_wait(times: StepTimes, policy: Scheduling, prompts: float) -> float:
    """Mean wait of ``prompts`` that arrive together and are read in groups, own group apart [s]."""
    most = len(times.group)
    together = max(1, min(most, int(prompts)))
    seconds = policy.step(max(float(times.group[together - 1]), policy.prompt_floor_seconds), 0.0)
    return max((prompts / together + 1) / 2 * seconds - _prompt_seconds(times, policy, 0.0), 0.0)


def _by_little(load: Load, state: _State) -> float:
    """TTFT: what the rate leaves of a request's time beside decoding [s]."""
    decoding = load.osl * state.tpot
    return load.concurrency / (state.active * load.ranks) * decoding - decoding


def _queued(times: StepTimes, load: Load, policy: Scheduling, full: _State) -> float:
    """TTFT where the cache is full and the others wait (Little's law) [s]."""
    ttft = _by_little(load, full)
    if load.requests is not None:
        # The first wave finds an empty cache: B of the N requests do not wait.
        free = min(full.active * load.ranks / load.requests, 1.0)
        ttft = (1 - free) * ttft + free * (full.reading + burst_wait(times, policy, full.active))
    return max(ttft, full.reading)
