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
from dataclasses import dataclass, replace

from planner.base.errors import InputError
from planner.throughput.arrivals import share_of_others
from planner.throughput.lockstep import prompts_in_step
from planner.throughput.pipelining import in_lockstep, micro_batches
from planner.throughput.prompt_passes import added_seconds, launch_seconds, reading_seconds
from planner.throughput.queueing import PromptArrival, PromptWait, exclusive_wait, mixed_wait
from planner.throughput.scheduling import Load, Scheduling, StepTimes

TURNS = 60
EXACT = 1e-12
"""Turns of the search for the batch at rest, and the share of it at which it ends."""


@dataclass(frozen=True, slots=True)
class SteadyState:
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


def closed_loop(times: StepTimes, load: Load, policy: Scheduling) -> SteadyState:
    """The steady state of ``load`` under ``policy``.

    Raises:
        InputError: a load below one request or token, or a cache that holds no request.
    """
    _check(load)
    if times.stages is not None:
        steps, spread, host = in_lockstep(times, load, policy)
        steady = closed_loop(steps, spread, host)
        return replace(steady, active=steady.active * micro_batches(times, load, policy))
    limit = load.cache_tokens / (load.isl + policy.reserve * load.osl)
    if limit < 1:
        raise InputError(
            f"the cache of one rank holds {load.cache_tokens:.0f} tokens, one request needs "
            f"{load.isl + policy.reserve * load.osl:.0f}",
            hint="use more devices, or shorter ones",
        )
    rank_concurrency = load.concurrency / load.ranks
    osl = load.osl
    if load.alike and policy.cohorts and policy.exclusive and rank_concurrency <= limit:
        return _cohort(times, load, policy, rank_concurrency)
    free = _largest(
        times, load, policy, rank_concurrency, lambda s: s.inside(osl) - rank_concurrency
    )
    if free.slots(osl) <= limit * (1 + 1e-9):
        return _served(free, _by_little(load, free), policy, full=False)
    full = _largest(times, load, policy, limit, lambda s: s.slots(osl) - limit)
    return _served(full, _queued(times, load, policy, full), policy, full=True)


def _check(load: Load) -> None:
    if load.concurrency < 1 or load.isl < 1 or load.osl < 1 or load.ranks < 1:
        raise InputError(
            f"a load of {load.concurrency:g} requests of {load.isl} + {load.osl} tokens",
            hint="every count is at least 1",
        )


def _cohort(times: StepTimes, load: Load, policy: Scheduling, requested: float) -> SteadyState:
    """Requests of one length whose prompts run alone: nobody decodes while prompts are read, so all
    end in the same step and the next are read together, in groups. Of k groups a request waits for
    half of those before its own, and stands still for half of those behind it."""
    together = max(1, min(len(times.group), int(requested)))
    group = _group(times, policy, together)
    groups = max(requested / together, 1.0)
    device = times.step(max(requested, 1.0))
    step = policy.step(device, requested)
    tokens = load.accepted
    interruption = (groups - 1) / 2 * group / load.osl
    ttft = (groups + 1) / 2 * group + policy.handling_seconds + policy.ahead * step
    tpot = step / tokens + interruption
    busy = groups * group / (groups * group + load.osl * step / tokens)
    return SteadyState(
        tpot,
        ttft + (policy.stream_interval - 1) * tpot,
        requested,
        interruption,
        (step - device) / tokens,
        busy,
        False,
    )


def _served(state: _State, ttft: float, policy: Scheduling, *, full: bool) -> SteadyState:
    return SteadyState(
        state.tpot,
        ttft + (policy.stream_interval - 1) * state.tpot,
        state.active,
        state.interruption,
        state.host,
        state.busy,
        full,
    )


def _largest(
    times: StepTimes, load: Load, policy: Scheduling, most: float, over: Callable[[_State], float]
) -> _State:
    """The state with the largest batch up to ``most`` that is not ``over`` what there is room for,
    which rises with the batch: by false position, halving the value of an end that stays (Illinois)
    and every fourth interval."""
    low, high = 0.0, most
    at_high = over(_state(times, load, policy, high))
    if at_high <= 0:
        return _state(times, load, policy, high)
    at_low, last = -1.0 * most, 0
    for turn in range(TURNS):
        if high - low <= EXACT * high:
            break
        share = 0.5 if turn % 4 == 3 or at_high == float("inf") else at_low / (at_low - at_high)
        middle = low + min(max(share, 1e-3), 1 - 1e-3) * (high - low)
        value = over(_state(times, load, policy, middle))
        if value <= 0:
            low, at_low = middle, min(value, -1e-300)
            at_high, last = (at_high / 2 if last == 1 else at_high), 1
        else:
            high, at_high = middle, value
            at_low, last = (at_low / 2 if last == -1 else at_low), -1
    return _state(times, load, policy, low)


def _state(times: StepTimes, load: Load, policy: Scheduling, active: float) -> _State:
    """What ``active`` sequences a rank make of the loop."""
    # A request never decodes in a batch of less than itself, and waits for the others only.
    batch, tokens = max(active, 1.0), load.accepted
    device = times.step(batch)
    step = policy.step(device, batch)
    others = share_of_others(load.concurrency)
    each = active * others * tokens / load.osl
    if load.alike:
        # Each of the others is read once while this request goes round: its own steps, those that
        # it waits for and that which reads it.
        each = others * load.concurrency / load.ranks / (load.osl / tokens + 2 + policy.ahead)
    reads = prompts_in_step(policy, each, load.ranks, alike=load.alike, chunks=times.chunks)
    added = added_seconds(times, policy, batch, reads.each_pass, reads.share)
    interruption = reads.chance * added
    reading = interruption + (0.0 if policy.exclusive else reads.chance * step)
    beside, budget = active * others, max(times.together, 1.0)
    alone = reading_seconds(times, policy, beside, 1.0, reads.share)
    here = PromptArrival(
        step=step,
        mean=step + interruption,
        cost=added / reads.each_pass,
        beside=max(reading_seconds(times, policy, beside, 2.0, reads.share) - alone, 0.0),
        alone=alone,
        others=each,
        ranks=reads.ranks,
        together=times.together,
        full=_full(times, policy, batch, step, budget, reads.share),
    )
    wait = _waiting(here, policy, alike=load.alike)
    queue = wait.queue
    if load.requests is not None:
        share = min(load.concurrency / load.requests, 1.0)
        burst = burst_wait(times, policy, load.concurrency / load.ranks)
        queue = share * burst + (1 - share) * queue if share < 1 else burst
    # Nothing is under way where no other request decodes.
    company = min(active * load.ranks * others, 1.0)
    late = company * (
        _under_way(policy, here, wait.late, others, chunks=times.chunks if load.alike else 0)
        + (policy.mean_hold_steps(each, times.together) + reads.held) * here.mean
    )
    return _State(
        active,
        (step + interruption) / tokens,
        interruption / tokens,
        (step - device) / tokens,
        queue + late + policy.handling_seconds,
        wait.reading,
        min(reading / here.mean, 1.0),
        wait.least,
    )


def _waiting(here: PromptArrival, policy: Scheduling, *, alike: bool) -> PromptWait:
    """How prompts wait; those of one length come one by one, so that none queues."""
    if policy.exclusive:
        return exclusive_wait(here)
    wait = mixed_wait(here)
    return replace(wait, queue=0.0, reading=here.alone) if alike else wait


def _under_way(
    policy: Scheduling, here: PromptArrival, late: float, others: float, *, chunks: int
) -> float:
    """Seconds of the passes that are under way or launched when a prompt comes.

    Requests of one length, whose prompts take ``chunks`` passes (0: lengths differ), keep the order
    in which they began, so each comes just behind the one before: the passes that it meets read a
    prompt or a chunk of one each (``others``: but for the first of all), and the first of them has
    just begun.
    """
    if chunks and not policy.exclusive:
        heavy = max(here.alone / chunks, here.mean)
        return (1 + policy.ahead) * (others * heavy + (1 - others) * here.step)
    return late + policy.ahead * here.mean


def _full(
    times: StepTimes, policy: Scheduling, batch: float, step: float, budget: float, share: float
) -> float:
    """Seconds in which a full pass reads the prompts of its budget, a longer prompt's passes."""
    added = added_seconds(times, policy, batch, budget, share)
    return added if policy.exclusive else step * max(1.0, 1 / times.together) + added


def _group(times: StepTimes, policy: Scheduling, prompts: int) -> float:
    """Seconds of a pass that reads so many prompts on every rank."""
    device = policy.reading_factor * float(times.group[prompts - 1])
    return policy.step(max(device, launch_seconds(times, policy, 0.0, prompts)), 0.0)


def burst_wait(times: StepTimes, policy: Scheduling, prompts: float) -> float:
    """Mean wait of ``prompts`` that arrive together and are read in groups, own group apart [s]."""
    most = len(times.group)
    together = max(1, min(most, int(prompts)))
    own = reading_seconds(times, policy, 0.0)
    return max((prompts / together + 1) / 2 * _group(times, policy, together) - own, 0.0)


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
        first = full.reading + burst_wait(times, policy, full.active) + policy.handling_seconds
        ttft = (1 - free) * ttft + free * first
    return max(ttft, full.reading + policy.handling_seconds)
