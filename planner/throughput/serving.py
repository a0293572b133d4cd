"""A served model in a closed loop: from step times to TPOT and TTFT at a concurrency.

Mean field: with D = O·TPOT the time a request decodes and W its TTFT, a request holds a decode slot
for D of every D + W, so B = C/d · D/(D + W) sequences decode on each of d attention ranks, and

    TPOT = T(0, B) + E[prompts a step] · (T(I, B) − T(0, B))

where T(p, B) is one forward pass over p prompt tokens and B decoding sequences. A scheduler that
runs prefill alone pays T(I, 0) instead of the difference. The equations hold until the cache is
full; then B stays at what the cache admits and the queue takes the rest (Little's law).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError
from planner.throughput.arrivals import prompts_a_step

Array = NDArray[np.float64]
ROUNDS = 200
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a forward pass, tabulated over sequences a rank; between them linear.

    ``batch`` [G] ascending, from 0 on. ``decode`` [G] = T(0, B) at the mean length, 0 for B = 0;
    ``mixed`` [G] = T(I, B), one prompt beside the batch: T(0, B) and what each of its ``chunks``
    adds to a step. ``group`` = seconds of prompts that are read together, [Q] for 1 … Q prompts in
    one pass.
    """

    batch: Array
    decode: Array
    mixed: Array
    group: Array
    chunks: int = 1

    def step(self, batch: float) -> float:
        """T(0, B) [s]."""
        return float(np.interp(batch, self.batch, self.decode))

    def with_prompt(self, batch: float) -> float:
        """T(I, B) [s]."""
        return float(np.interp(batch, self.batch, self.mixed))

    @property
    def prompt(self) -> float:
        """T(I, 0): a prompt on an idle rank [s]."""
        return float(self.mixed[0])


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica is asked: requests in flight, lengths, and attention ranks to spread over.

    ``requests`` is the length of a run that starts with all ``concurrency`` requests at once; None
    for the steady state. ``cache_tokens`` is what one rank's cache holds; ``accepted`` the tokens
    of a sequence that one step yields (above 1 with speculative decoding).
    """

    concurrency: float
    isl: int
    osl: int
    ranks: int = 1
    requests: float | None = None
    cache_tokens: float = float("inf")
    accepted: float = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How an engine schedules.

    ``exclusive``: prompts run alone, the batch waits. ``reserve``: share of the answer's length
    that admission sets aside (1: never evicts). ``host_seconds`` + ``host_seconds_per_sequence`` ·
    B of host work a step; ``overlapped`` hides it behind the device. ``stream_interval``: tokens
    sent together. ``prompt_floor_seconds``: least time of a pass that no graph was captured for.
    """

    exclusive: bool = False
    reserve: float = 1.0
    host_seconds: float = 0.0
    host_seconds_per_sequence: float = 0.0
    overlapped: bool = False
    stream_interval: int = 1
    prompt_floor_seconds: float = 0.0

    def step(self, device_seconds: float, batch: float) -> float:
        """A step with the host's share [s]."""
        host = self.host_seconds + self.host_seconds_per_sequence * batch
        return max(device_seconds, host) if self.overlapped else device_seconds + host


@dataclass(frozen=True, slots=True)
class Served:
    """A closed loop at rest. Times in seconds.

    ``active``: sequences that decode on one rank; ``interruption``: the part of TPOT that prompts
    take; ``host``: the part that the host takes; ``utilisation``: share of time spent on prompts;
    ``full``: the cache limits the batch.
    """

    tpot: float
    ttft: float
    active: float
    interruption: float
    host: float
    utilisation: float
    full: bool


def closed_loop(times: StepTimes, load: Load, policy: Policy) -> Served:
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
    loop = _balance(times, load, policy, asked)
    if loop.active <= limit:
        return loop
    return _full(times, load, policy, limit)


def _check(load: Load) -> None:
    if load.concurrency < 1 or load.isl < 1 or load.osl < 1 or load.ranks < 1:
        raise InputError(f"a load of {load.concurrency:g} requests of {load.isl} + {load.osl} "
                         "tokens", hint="every count is at least 1")


def _interruption(times: StepTimes, load: Load, policy: Policy, active: float) -> float:
    """Seconds that prompts add to the average step at ``active`` sequences a rank."""
    others = active * load.ranks * max(load.concurrency - 1, 0) / load.concurrency
    if policy.exclusive:
        cost = max(times.prompt, policy.prompt_floor_seconds)
        cost = policy.step(cost, 0.0)
    else:
        alone = times.step(active)
        cost = max(times.with_prompt(active), policy.prompt_floor_seconds) - alone
    rate = others * load.accepted / load.osl
    return prompts_a_step(rate, load.ranks) * max(cost, 0.0)


def _tpot(times: StepTimes, load: Load, policy: Policy, active: float,
          ) -> tuple[float, float, float]:
    """(TPOT, interruption, host) at ``active`` sequences a rank [s a token]."""
    device = times.step(active)
    step = policy.step(device, active)
    interruption = _interruption(times, load, policy, active)
    tokens = load.accepted
    return (step + interruption) / tokens, interruption / tokens, (step - device) / tokens


def _prompt_seconds(times: StepTimes, policy: Policy, active: float) -> float:
    """A prompt's own pass [s]."""
    device = times.prompt
    if not policy.exclusive:
        device = times.with_prompt(active) + (times.chunks - 1) * times.step(active)
    return policy.step(max(device, policy.prompt_floor_seconds), active)


def _ttft(times: StepTimes, load: Load, policy: Policy, active: float, tpot: float,
          previous: float) -> tuple[float, float]:
    """(TTFT, utilisation by prompts) with ``previous`` as the TTFT of the last round."""
    prompt = _prompt_seconds(times, policy, active)
    each = load.concurrency / load.ranks
    busy = min(each * prompt / (load.osl * tpot + previous), 0.999)
    wait = busy / (2 * (1 - busy)) * prompt
    if load.requests is not None:
        share = min(load.concurrency / load.requests, 1.0)
        wait = share * burst_wait(times, policy, each) + (1 - share) * wait
    step = policy.step(times.step(active), active) if active > 1 else 0.0
    # On average half a step is under way; an overlapped host sends results a step later.
    late = 1.5 if policy.overlapped else 0.5
    return wait + late * step + prompt + (policy.stream_interval - 1) * tpot, busy


def burst_wait(times: StepTimes, policy: Policy, prompts: float) -> float:
    """Mean wait of ``prompts`` that arrive together and are read in groups, own group apart [s]."""
    most = len(times.group)
    together = max(1, min(most, int(prompts)))
    seconds = policy.step(max(float(times.group[together - 1]), policy.prompt_floor_seconds), 0.0)
    return max((prompts / together + 1) / 2 * seconds - _prompt_seconds(times, policy, 0.0), 0.0)


def _balance(times: StepTimes, load: Load, policy: Policy, asked: float) -> Served:
    """The fixed point without a limit of the cache, damped by one half."""
    ttft, active = times.prompt, asked
    served = Served(0.0, ttft, active, 0.0, 0.0, 0.0, full=False)
    for _ in range(ROUNDS):
        tpot, interruption, host = _tpot(times, load, policy, active)
        ttft, busy = _ttft(times, load, policy, active, tpot, ttft)
        decoding = load.osl * tpot
        wanted = asked * decoding / (decoding + ttft)
        served = Served(tpot, ttft, wanted, interruption, host, busy, full=False)
        if abs(wanted - active) <= TOLERANCE * asked:
            break
        active = 0.5 * (active + wanted)
    return served


def _full(times: StepTimes, load: Load, policy: Policy, limit: float) -> Served:
    """The cache is full: ``limit`` sequences a rank decode, the others wait (Little's law)."""
    tpot, interruption, host = _tpot(times, load, policy, limit)
    prompt = _prompt_seconds(times, policy, limit)
    cycle = load.osl * tpot + prompt
    rate = limit * load.ranks / cycle
    ttft = load.concurrency / rate - load.osl * tpot
    if load.requests is not None:
        # The first wave finds an empty cache: B of the N requests do not wait.
        free = min(limit * load.ranks / load.requests, 1.0)
        ttft = (1 - free) * ttft + free * (prompt + burst_wait(times, policy, limit))
    ttft += (policy.stream_interval - 1) * tpot
    busy = min(limit * prompt / cycle, 1.0)
    return Served(tpot, max(ttft, prompt), limit, interruption, host, busy, full=True)
