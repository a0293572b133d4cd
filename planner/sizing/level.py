"""Percentiles of TPOT and TTFT at a rate of requests.

A request's TPOT is the mean of τ over the batches that it meets. Of requests of one length S the
number in flight is correlated over S, so the mean over a life varies less than the number itself:
with a correlation that falls to 0 over θ = S/(1 − e) its variance is f = 1 − S/(3θ) = 1 − (1 − e)/3
of it, e = d ln s/d ln n. Without feedback (e = 0, the queue M/D/∞) that is 2/3: arrivals in (−S, S)
overlap with a request by 1 − |u|/S, and ∫(1 − |u|/S)² du/S = 2/3. So the percentile is taken at

    n_p = E[n] + √f · α · (q_p − E[n]),   q_p the percentile of requests in flight

as an arrival sees it (Poisson arrivals see time averages), α as in
:mod:`planner.sizing.in_flight`. The prompts that come in its life, each of c seconds, add
α²·(b·c' + c'²) of their number to the variance, b = dτ/dn, c' = c/O: a life that is lengthened by
prompts meets more of them, as a busy period does (its variance has 1/(1 − r)² more than that of the
prompts of a fixed time). They are taken as log-normal, about as skew as a busy period.

TTFT mixes the times of :mod:`planner.sizing.first_token` over what a rank holds when a request
comes, and the exponential wait for a slot.
"""

from __future__ import annotations

from math import copysign, expm1, hypot, log, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.question.time_limits import request_seconds
from planner.scheduler.rules import RANDOM
from planner.sizing.first_token import first_tokens, passes
from planner.sizing.in_flight import InFlight, in_flight
from planner.sizing.rank import NEVER, RankPace, ServedRank, rank_pace
from planner.throughput.lockstep import prompts_in_step

Array = NDArray[np.float64]
POOLED = 256
"""Ranks beyond which sharing requests among more of them changes nothing."""
PHASES = 4
GROUPS = 3
"""Batches beside which prompts are read, each for an equal part of the chance, and none."""
HALVINGS = 60
STEEPEST = 0.95


@record
class PercentileTimes:
    """What requests see at a percentile, and on average. Seconds.

    ``in_flight``: requests that hold a slot of one rank; ``waits``: the chance to find none free;
    ``idle``: share of time in which a rank has nothing to do.
    """

    ttft: float
    tpot: float
    e2e: float
    mean_ttft: float
    mean_tpot: float
    in_flight: float
    waits: float
    idle: float

    def of(self, what: str) -> float:
        """The time called TTFT, TPOT or E2E [s]."""
        return {"TTFT": self.ttft, "TPOT": self.tpot, "E2E": self.e2e}[what]


@record
class RankLoad:
    """A rank at a rate: its steps and the law of what it holds."""

    rank: ServedRank
    rate: float
    paced: RankPace
    law: InFlight
    spread: bool


def rank_load(rank: ServedRank, rate: float, servers: int, router: str) -> RankLoad | None:
    """``rank`` at ``rate`` requests a second of its own, one of ``servers`` that the ``router``
    chooses from; None where more come than are served."""
    spread = router != RANDOM and servers > 1
    paced = rank_pace(rank, rate)
    law = in_flight(rank, paced, rate, min(servers, POOLED) if spread else 1)
    return None if law is None else RankLoad(rank, rate, paced, law, spread)


def tpot_percentile(load: RankLoad, share: float) -> tuple[float, float]:
    """(TPOT that a ``share`` of requests keeps, mean TPOT) [s]."""
    paced, law = load.paced, load.law
    mean, quantile = law.mean, law.quantile(share)
    here = _sequences_seen(load, mean)
    averaged = sqrt(1.0 - (1.0 - _steepness(load, here)) / 3.0)
    at_mean = _step(load, here)
    others = max(mean + averaged * law.wider * (quantile - mean), 0.0)
    batches = _step(load, _sequences_seen(load, others)) - at_mean
    spread = log1p((_prompts_spread(load, here) / at_mean) ** 2)
    prompts = at_mean * expm1(NormalDist().inv_cdf(share) * sqrt(spread) - spread / 2)
    sign = 1.0 if share >= 0.5 else -1.0
    percentile = max(at_mean + sign * hypot(batches, prompts), float(paced.bare[0]))
    return min(percentile, max(_full_step(load), at_mean)), at_mean


def _full_step(load: RankLoad) -> float:
    """Seconds of a step where all slots are taken: prompts then come as answers end."""
    rank = load.rank
    _, decoding = load.paced.slot_seconds(rank.osl, float(rank.slots))
    batch = float(decoding)
    reads = prompts_in_step(rank.policy, batch / rank.osl, rank.ranks)
    return rank.bare(batch) + reads.passes * rank.cost(batch, reads.share)


def _prompts_spread(load: RankLoad, sequences: float) -> float:
    """The standard deviation of TPOT that the number of prompts in a life makes [s]; those of other
    ranks that step together count as well."""
    rank, paced = load.rank, load.paced
    slot_seconds, decoding = paced.slot_seconds(rank.osl, sequences)
    step, bare = float(paced.at(paced.step, decoding)), float(paced.at(paced.bare, decoding))
    slope = max(_step(load, sequences * 1.05) - _step(load, sequences), 0.0) / (sequences * 0.05)
    each = (step - bare) / (step * load.rate * rank.ranks * rank.osl)
    number = load.rate * float(slot_seconds) / load.law.servers
    return step / bare * sqrt(rank.uneven * number * each * (slope + rank.ranks * each))


def _sequences_seen(load: RankLoad, others: float) -> float:
    """The sequences that a request sees on its rank, itself included, where ``others`` are in
    flight over all ranks: of ranks that hold f or f + 1 those with more hold more requests."""
    mine = (others + 1.0) / load.law.servers
    if mine <= 1.0:
        return 1.0
    if load.law.servers == 1:
        return min(mine, float(load.rank.slots))
    full_sequences = float(int(mine))
    part = mine - full_sequences
    seen = (full_sequences * full_sequences + part * (2.0 * full_sequences + 1.0)) / mine
    return min(seen, float(load.rank.slots))


def _step(load: RankLoad, sequences: float) -> float:
    """Seconds of a step on a rank that holds ``sequences``."""
    _, decoding = load.paced.slot_seconds(load.rank.osl, sequences)
    return float(load.paced.at(load.paced.step, decoding))


def _steepness(load: RankLoad, sequences: float) -> float:
    """d ln s / d ln n: how much longer requests stay where more are in flight; 0 to
    ``STEEPEST``."""
    if sequences <= 1.0:
        return 0.0
    low, high = (
        float(load.paced.slot_seconds(load.rank.osl, sequences * by)[0]) for by in (0.95, 1.05)
    )
    return min(max(log(high / low) / log(1.05 / 0.95), 0.0), STEEPEST)


def ttft_percentile(load: RankLoad, share: float) -> tuple[float, float]:
    """(TTFT that a ``share`` of requests keeps, mean TTFT) [s]; NEVER where prompts come faster
    than they are read."""
    rank, law = load.rank, load.law
    seconds, chances = [], []
    for batch, chance in _batches(load):
        tokens = first_tokens(rank, load.paced, load.rate, batch, PHASES if load.spread else 1)
        if tokens is None:
            return NEVER, NEVER
        seconds.append(tokens.seconds)
        chances.append(tokens.chance * chance)
    read, weight = np.concatenate(seconds), np.concatenate(chances)
    mean = float(read @ weight) + law.waits * law.wait_seconds
    return _tail_at(read, weight, law.waits, law.wait_seconds, 1.0 - share), mean


def request_percentile(first: tuple[float, float], each: tuple[float, float], osl: int) -> float:
    """A whole request's time at a percentile [s], of (at the percentile, mean) of TTFT and TPOT:
    both vary by themselves, as a wait is for prompts before and a pace for batches after. It lies
    between the means together and the percentiles together: where one of them is below its mean
    and the other above, squares would add what the two take from each other."""
    mean = request_seconds(first[1], each[1], osl)
    off = (first[0] - first[1], max(osl - 1, 0) * (each[0] - each[1]))
    together = sum(off)
    return max(mean + copysign(min(hypot(*off), abs(together)), together), first[0])


def _batches(load: RankLoad) -> list[tuple[float, float]]:
    """(sequences that decode on a rank when a request comes to it, chance): none, and means of
    ``GROUPS`` equal parts of the rest."""
    law = load.law
    count = np.arange(len(law.chance)) // law.servers
    chance = np.bincount(count, law.chance)
    out = [(0.0, float(chance[0]))] if chance[0] > 1e-6 else []
    rest, batches = chance[1:], np.arange(1.0, len(chance))
    total = float(rest.sum())
    if total <= 1e-6:
        return [(0.0, 1.0)]
    middle = (np.cumsum(rest) - rest / 2) / total
    part = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    for k in range(GROUPS):
        weight = float(rest[part == k].sum())
        if weight > 0:
            mean = float(rest[part == k] @ batches[part == k]) / weight
            _, decoding = load.paced.slot_seconds(load.rank.osl, mean)
            out.append((float(decoding), weight))
    total_weight = sum(weight for _, weight in out)
    return [(batch, weight / total_weight) for batch, weight in out]


def _tail_at(read: Array, weight: Array, waits: float, wait: float, left: float) -> float:
    """The time that a share ``left`` exceeds: ``read`` with its ``weight``, and for a share
    ``waits`` an exponential wait of mean ``wait`` before it."""

    def above(time: float) -> float:
        late = read > time
        plain = float(weight[late].sum())
        if waits <= 0:
            return plain
        gone = np.exp(-np.maximum(time - read, 0.0) / max(wait, 1e-300))
        return (1.0 - waits) * plain + waits * float(weight @ np.where(late, 1.0, gone))

    low, high = 0.0, float(read.max())
    while above(high) > left:
        high *= 2.0
        if high > NEVER:
            return NEVER
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if above(middle) > left else (low, middle)
    return high


def percentile_times(
    rank: ServedRank,
    rate: float,
    servers: int,
    router: str,
    share: float,
) -> PercentileTimes | None:
    """What a ``share`` of requests sees on ``rank`` at ``rate`` requests a second of its own, one
    of ``servers``; None where more come than are served."""
    load = rank_load(rank, rate, servers, router)
    if load is None:
        return None
    each, first = tpot_percentile(load, share), ttft_percentile(load, share)
    if first[0] >= NEVER or each[0] >= NEVER:
        return None
    return PercentileTimes(
        first[0],
        each[0],
        request_percentile(first, each, rank.osl),
        first[1],
        each[1],
        load.law.mean / load.law.servers,
        load.law.waits,
        load.law.idle,
    )


def saturation_rate(rank: ServedRank) -> float:
    """Requests a second that ``rank`` could serve at most: all slots taken for ever, or every pass
    full of prompts."""

    def full(rate: float) -> bool:
        paced = rank_pace(rank, rate)
        seconds, decoding = paced.slot_seconds(rank.osl, float(rank.slots))
        return (
            rate * float(seconds) >= rank.slots
            or passes(rank, paced, rate, float(decoding)).load(rate) >= 1.0
        )

    seconds, _ = rank_pace(rank, 0.0).slot_seconds(rank.osl, float(rank.slots))
    low, high = 0.0, rank.slots / float(seconds)
    for _ in range(HALVINGS // 2):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if full(middle) else (middle, high)
    return low
