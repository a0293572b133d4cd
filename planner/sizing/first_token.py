"""The time to the first token on a rank whose batch stands still: a queue served in passes.

Prompts are read in passes, one after the other: a pass that begins with K units of prompts waiting
reads min(K, Q) of them beside the batch and lasts S(k) = T(0, B) + k·c, so that what is left at the
next is K − min(K, Q) and what came in S(k). That is the bulk-service queue of Bailey ("On queueing
processes with bulk service", JRSS B 16, 1954) with a service that depends on its size (Neuts, "A
general class of bulk queues with Poisson input", Annals of Mathematical Statistics 38, 1967): a
Markov chain over the beginnings of passes, solved here as it stands. With no batch and passes of
one prompt it is M/D/1.

An arrival falls into a pass in proportion to what comes in it, waits for its rest, then for the
passes of those before it, and has its first token where the pass with its last unit ends.

Assumed: the batch B changes slowly beside a prompt's way through; every unit costs the same; a pass
reads whole units, of which there are up to ``MOST_UNITS`` a prompt where a pass holds no whole
number of prompts. Where the router spreads requests evenly over ``phases`` ranks or more, each rank
sees every ``phases``-th arrival of a Poisson process (Erlang gaps).
"""

from __future__ import annotations

from math import ceil, factorial, lgamma, sqrt

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.sizing.rank import NEVER, RankPace, ServedRank

Array = NDArray[np.float64]
Int = NDArray[np.int64]
MOST_UNITS = 8
FULL = 0.985
"""Load of the passes beyond which a queue is not followed."""
TAIL = 6.0
"""Prompts that are followed in the queue, over 1 − load."""
MOST_PROMPTS = 160
MOST_STATES = 900
SLICES = 8
"""Moments of a pass into which arrivals are put."""
LEAST = 1e-9


@record
class FirstTokens:
    """Seconds to the first token [N], ascending, with the chance of each [N]."""

    seconds: Array
    chance: Array

    @property
    def mean(self) -> float:
        """Mean seconds."""
        return float(self.seconds @ self.chance)


@record
class Passes:
    """Passes of a rank beside a batch: a prompt is ``units``, a pass reads ``most`` of them and
    lasts ``seconds`` [0 … most] by how many it reads; without a batch ``seconds[0]`` is 0, as the
    rank then waits for work. ``kinds`` are (chance, seconds [0 … most]) of passes in which ranks
    that step together read nothing, and of the others."""

    units: int
    most: int
    seconds: Array
    kinds: tuple[tuple[float, Array], ...]

    def load(self, rate: float) -> float:
        """Share of time that full passes would take."""
        return rate * float(self.seconds[-1]) * self.units / self.most

    def lasting(self, units: Array) -> Array:
        """Seconds of passes of so many units, between whole ones too."""
        return np.asarray(np.interp(units, np.arange(self.most + 1.0), self.seconds))


def first_tokens(
    rank: ServedRank,
    paced: RankPace,
    rate: float,
    batch: float,
    phases: int,
) -> FirstTokens | None:
    """Times to the first token beside ``batch`` decoding sequences at ``rate`` requests a second,
    waiting for a slot apart; None where prompts come faster than they are read."""
    work = passes(rank, paced, rate, batch)
    load = work.load(rate)
    if not load < FULL:
        return None
    prompts = min(ceil(TAIL / (1.0 - load)) + 4, MOST_PROMPTS)
    top = work.most + work.units * prompts
    phases = max(1, min(phases, MOST_STATES // (top + 1)))
    stay = _stationary(work, rate, top, phases)
    parts = [_met(work, seconds, rate, stay * chance, phases) for chance, seconds in work.kinds]
    values, chances = (np.concatenate(column) for column in zip(*parts, strict=True))
    ahead = rank.policy.ahead * float(paced.at(paced.step, batch)) if batch > 0 else 0.0
    values = values + ahead
    if work.seconds[0] <= 0:
        own = _idle_rank_seconds(work)
        values, chances = np.append(values, own), np.append(chances, stay[0].sum())
    floor = rank.policy.prompt_floor_seconds
    if floor > 0:
        passes_of_one = ceil(work.units / work.most)
        own = float(work.lasting(np.array(min(work.units, work.most)))) * passes_of_one
        values = values + max(floor - own, 0.0)
    kept = chances > LEAST * chances.max()
    order = np.argsort(values[kept])
    return FirstTokens(
        values[kept][order] + rank.policy.handling_seconds,
        (chances[kept] / chances[kept].sum())[order],
    )


def passes(rank: ServedRank, paced: RankPace, rate: float, batch: float) -> Passes:
    """The passes of ``rank`` beside ``batch`` sequences; of ranks that step together the busiest
    sets the time of each, the others' prompts being Poisson in number."""
    units, most = _units(rank.times.together)
    beside = max(batch, 1.0)
    share = float(paced.at(paced.share, beside))
    cost = rank.cost(beside, share) / units
    kinds = [(1.0, np.arange(most + 1.0))]
    if rank.ranks > 1:
        step = min(float(paced.at(paced.step, beside)), NEVER)
        kinds = _busiest(rate * step, rank.ranks, units, most)
    lasting = tuple(
        (chance, _seconds(rank, batch, read, cost, cost * units, share)) for chance, read in kinds
    )
    mean = sum((chance * seconds for chance, seconds in lasting), np.zeros(most + 1))
    return Passes(units, most, mean, lasting)


def _seconds(
    rank: ServedRank, batch: float, read: Array, cost: float, prompt: float, share: float
) -> Array:
    """Seconds of passes beside ``batch`` sequences by the units [0 … most] that the busiest rank
    reads, each of ``cost``."""
    if batch > 0 and not rank.policy.exclusive:
        return np.asarray(rank.bare(batch) + read * cost)
    # Alone, a pass reads the weights once however many prompts it has.
    once = 0.0 if rank.policy.exclusive else max(rank.times.with_prompt(0.0, share) - prompt, 0.0)
    seconds = np.array([rank.policy.step(once + float(k) * cost, 0.0) for k in read])
    seconds[0] = rank.bare(batch) + float(read[0]) * cost if batch > 0 else 0.0
    return seconds


def _units(concurrent: float) -> tuple[int, int]:
    """(units of a prompt, units of a pass): the fewest that keep what a pass holds to 3 %, else the
    nearest."""
    best, error = (1, max(int(concurrent), 1)), np.inf
    for units in range(1, MOST_UNITS + 1):
        most = max(round(units * concurrent), 1)
        off = abs(most / (units * concurrent) - 1.0)
        if off < error - 1e-12:
            best, error = (units, most), off
        if off <= 0.03:
            break
    return best


def _busiest(each: float, ranks: int, units: int, most: int) -> list[tuple[float, Array]]:
    """Units that the busiest rank reads in a pass in which this one reads k = 0 … ``most``, with
    the chance: none of the others reads, or E[max(k, M)] of their M > 0 where ``each`` prompts come
    on average to every one."""
    counts = np.arange(most + 1.0)
    arrived = np.cumsum(_poisson(np.array([each]), most // units)[0])
    below = arrived[(counts // units).astype(np.int64)] ** (ranks - 1)
    quiet = float(below[0])
    below[-1] = 1.0
    busiest = counts + np.cumsum((1.0 - below)[::-1])[::-1]
    if quiet > 1.0 - LEAST:
        return [(1.0, counts)]
    return [(quiet, counts), (1.0 - quiet, (busiest - quiet * counts) / (1.0 - quiet))]


def _poisson(means: Array, most: int) -> Array:
    """Poisson chances [mean, 0 … most]."""
    counts = np.arange(most + 1.0)
    factorials = np.array([lgamma(k + 1.0) for k in counts])
    positive = np.maximum(means, 1e-300)[:, None]
    return np.asarray(np.exp(counts * np.log(positive) - factorials - positive))


def _most_arrivals(mean: float) -> int:
    """A number of arrivals that is hardly ever exceeded."""
    return ceil(mean + 8.0 * sqrt(mean) + 6.0)


def _stationary(work: Passes, rate: float, top: int, phases: int) -> Array:
    """The chance of each state at the beginning of a pass, [units waiting, phase]: a phase is the
    number of arrivals since this rank was last given one."""
    served = np.minimum(np.arange(top + 1), work.most)
    means = phases * rate * work.seconds
    chance = _poisson(means, _most_arrivals(float(means.max())))
    chance /= chance.sum(axis=1, keepdims=True)
    come = np.arange(phases)[:, None] + np.arange(chance.shape[1])[None, :]
    left = (np.arange(top + 1) - served)[:, None, None] + work.units * (come // phases)[None]
    to = np.minimum(left, top) * phases + (come % phases)[None]
    size = (top + 1) * phases
    start = np.arange(size).reshape(top + 1, phases, 1)
    weights = np.broadcast_to(chance[served][:, None, :], to.shape)
    moves = np.bincount((start * size + to).ravel(), weights.ravel(), size * size)
    moves = moves.reshape(size, size)
    if work.seconds[0] <= 0:  # an idle rank begins with its next arrival
        moves[:phases] = 0.0
        moves[:phases, work.units * phases] = 1.0
    system = moves.T - np.eye(size)
    system[-1] = 1.0
    stay = np.linalg.solve(system, np.append(np.zeros(size - 1), 1.0))
    return np.asarray(np.maximum(stay, 0.0).reshape(top + 1, phases))


def _met(
    work: Passes,
    lasting: Array,
    rate: float,
    stay: Array,
    phases: int,
) -> tuple[Array, Array]:
    """(seconds to the first token, chance) of arrivals into each pass, which lasts ``lasting`` by
    what it reads, at each moment of it, behind those that came in it before."""
    top = len(stay) - 1
    waiting = np.arange(top + 1)
    served = np.minimum(waiting, work.most)
    means = phases * rate * lasting
    before = np.arange(1, _most_arrivals(float(means.max())) // phases + 3)
    moments = (np.arange(SLICES) + 0.5) / SLICES
    # The i-th arrival of this rank comes after i·phases − phase − 1 others.
    others = before[None, :] * phases - np.arange(phases)[:, None] - 1
    chance = _poisson((means[:, None] * moments).ravel(), int(others.max()))
    chance = (
        chance.reshape(work.most + 1, SLICES, -1)[:, :, others]
        * (means / SLICES)[:, None, None, None]
    )
    chance = chance[served] * stay[:, None, :, None]
    rest = lasting[served][:, None] * (1.0 - moments)
    place = (waiting - served)[:, None] + work.units * before[None, :]
    seconds = _read(work, rate, phases, rest[:, :, None], place[:, None, :])
    seconds = np.broadcast_to(seconds[:, :, None, :], chance.shape)
    kept = chance > 0
    return np.asarray(seconds[kept]), np.asarray(chance[kept])


def _read(work: Passes, rate: float, phases: int, rest: Array, place: Int) -> Array:
    """Seconds until the unit at ``place`` of the queue (1: the first of the next pass) is read, the
    ``rest`` of the pass under way included; the last pass also reads what came behind it."""
    before = -(-place // work.most) - 1
    wait = rest + before * work.seconds[-1]
    last = np.asarray(place - before * work.most, dtype=np.float64)
    room = work.most - last
    behind = room * -np.expm1(-rate * wait * work.units / np.maximum(room, work.units))
    if phases > 1:  # the next of evenly spread requests does not come at once
        others = phases * rate * wait
        none = np.exp(-others) * sum(others**k / factorial(k) for k in range(phases))
        behind = behind * (1.0 - none) / np.maximum(-np.expm1(-rate * wait), 1e-300)
    return np.asarray(wait + work.lasting(last + behind))


def _idle_rank_seconds(work: Passes) -> float:
    """Seconds of a prompt that finds an idle rank."""
    full = -(-work.units // work.most) - 1
    left = float(work.units - full * work.most)
    return float(full * work.seconds[-1] + work.lasting(np.array(left)))
