"""Which experts a step touches: popularity, distinct experts, loads of ranks, straggler.

A popularity is an array float64 [E] of p_i, the probability that a token picks expert i in a
layer; the p_i add up to the k experts a token picks, and none exceeds 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import message

Array = NDArray[np.float64]
_GRID = 801
_SPREAD = 9.0
LARGEST_LOAD = 1e30


def uniform_popularity(count: int, per_token: int) -> Array:
    """Every expert alike: p [E] = k/E."""
    return power_law_popularity(count, per_token, 0.0)


def power_law_popularity(count: int, per_token: int, skew: float) -> Array:
    """p [E], p_i proportional to (i + 1)^-skew, hottest first; what exceeds 1 is given to the
    others.

    Skew 0 is uniform, 1 is Zipf's law. Raises InputError for a negative or infinite skew.
    """
    if not 1 <= per_token <= count:
        raise InputError(f"{per_token} of {count} experts a token", hint="at least 1, at most all")
    if not 0 <= skew < float("inf"):
        raise InputError(
            f"skew is {skew}; it is a number of at least 0", hint="0 is uniform, 1 is Zipf's law"
        )
    logs = -skew * np.log(np.arange(1, count + 1, dtype=np.float64))
    popularity = np.zeros(count)
    for full in range(per_token + 1):  # the hottest `full` experts are picked by every token
        rest = np.exp(logs[full:] - logs[full]) if full < count else np.zeros(0)
        total = float(rest.sum())
        popularity[:full] = 1.0
        popularity[full:] = rest * ((per_token - full) / total) if total else 0.0
        if full == count or popularity[full] <= 1.0:
            return popularity
    return popularity


def given_popularity(loads: ArrayLike, per_token: int) -> Array:
    """The popularity behind ``loads`` [E], counts or shares of the tokens of each expert.

    Raises:
        InputError: a load is negative or not finite, all are 0, or one expert has more than one
            pick of every token.
    """
    try:
        values = np.asarray(loads, dtype=np.float64)
    except OverflowError:
        values = np.array([np.inf])
    if (
        values.ndim != 1
        or not len(values)
        or not np.isfinite(values).all()
        or (values < 0).any()
        or not 0 < values.max() <= LARGEST_LOAD
    ):
        raise InputError(
            "popularity is a list of numbers of at least 0, not all 0, none "
            f"above {LARGEST_LOAD:g}",
            hint="one number an expert, for example the tokens it was given",
        )
    p = values / values.sum() * per_token
    if p.max() > 1 + 1e-9:
        raise InputError(
            f"expert {int(p.argmax())} has {p.max():.3g} picks a token; a token picks an expert "
            "at most once",
            hint=f"loads add up to {per_token} a token, none above 1 of them",
        )
    return np.asarray(np.minimum(p, 1.0), dtype=np.float64)


def touched(popularity: Array, tokens: ArrayLike) -> Array:
    """Probability that each expert is touched by ``tokens`` independent ones: 1 − (1 − p)^B.

    The last axis is the expert; ``tokens`` broadcasts against the others.
    """
    batch = np.asarray(tokens, dtype=np.float64)[..., None]
    with np.errstate(divide="ignore"):
        missed = np.asarray(np.log1p(-popularity), dtype=np.float64)
    some = -np.expm1(np.where(batch > 0, batch, 1.0) * missed)
    return np.asarray(np.where(batch > 0, some, 0.0), dtype=np.float64)


def expected_distinct(popularity: Array, tokens: ArrayLike) -> Array:
    """Expected distinct experts of a layer (the shape of ``tokens``), Σ 1 − (1 − p_i)^B; exact for
    independent tokens.

    At equal p this is E(1 − (1 − k/E)^B), whatever groups the router is limited to.
    """
    return np.asarray(touched(popularity, tokens).sum(axis=-1))


def touched_correlated(
    popularity: Array,
    tokens: float,
    requests: float,
    correlation: float,
) -> Array:
    """Probability [E] that each expert is touched when tokens of a request route alike.

    Router scores are normal and tokens of one request share the fraction ``correlation`` (ρ) of
    their variance. Given the shared part z, each of a request's m tokens picks expert i with
    Φ((√ρ·z − t_i)/√(1−ρ)), t_i = Φ⁻¹(1 − p_i), so 1 − touched_i = (∫ (1 − Φ(…))^m dΦ(z))^R: the
    one-factor probit model. ρ = 0 is independent tokens, ρ = 1 counts requests in place of tokens.

    Raises InputError for ρ outside 0..1 or requests outside 1..tokens.
    """
    if not 0 <= correlation <= 1 or not 1 <= requests <= tokens:
        raise InputError(
            f"correlation {correlation} over {requests:g} requests of {tokens:g} tokens",
            hint="correlation is from 0 to 1; requests from 1 to the tokens of a step",
        )
    if correlation in (0, 1):
        return touched(popularity, tokens if correlation == 0 else requests)
    normal = NormalDist()
    limits = np.array(
        [normal.inv_cdf(1 - min(max(float(p), 1e-12), 1 - 1e-12)) for p in popularity]
    )
    z = np.linspace(-_SPREAD, _SPREAD, _GRID)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    values, where = np.unique(limits, return_inverse=True)
    step = (sqrt(correlation) * z[None, :] - values[:, None]) / sqrt(1 - correlation)
    missed = (1 - _phi(step)) ** (tokens / requests) @ weight
    return np.asarray(1 - (missed**requests)[where], dtype=np.float64)


def effective_tokens(popularity: Array, distinct: float) -> float:
    """Independent tokens that touch ``distinct`` experts of ``popularity`` [E] in expectation, by
    bisection.

    The number to carry over from a measurement. Raises InputError outside 0..(experts with p > 0).
    """
    ceiling = float((popularity > 0).sum())
    if not 0 <= distinct < ceiling:
        raise InputError(
            f"{distinct:g} distinct experts of {ceiling:g} that tokens reach",
            hint="give fewer than all of them",
        )
    low, high = 0.0, 1.0
    while float(expected_distinct(popularity, high)) < distinct:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if float(expected_distinct(popularity, middle)) < distinct:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _phi(z: Array) -> Array:
    """Φ elementwise."""
    return np.asarray(0.5 + 0.5 * np.vectorize(erf, otypes=[np.float64])(z / sqrt(2)))


@record
class Placement:
    """Experts on ranks: ``rank`` int64 [slots] and ``expert`` int64 [slots] of every copy."""

    ranks: int
    rank: NDArray[np.int64]
    expert: NDArray[np.int64]

    def copies(self, count: int) -> NDArray[np.int64]:
        """Copies of each expert, int64 [E]."""
        return np.bincount(self.expert, minlength=count)

    def slot_popularity(self, popularity: Array) -> Array:
        """p of every slot: an expert's tokens go to its copies in equal parts."""
        copies = self.copies(len(popularity))[self.expert]
        return np.asarray(popularity[self.expert] / copies, dtype=np.float64)


def contiguous_placement(count: int, ranks: int) -> Placement:
    """Expert i on rank i // (E/R). Raises InputError where R does not divide E."""
    if ranks < 1 or count % ranks:
        raise InputError(
            message("refusals.ep_does_not_divide_experts", a=ranks, count=count),
            hint="choose a divisor, or add redundant experts",
        )
    every = np.arange(count, dtype=np.int64)
    return Placement(ranks, every // (count // ranks), every)


def balanced_placement(popularity: Array, ranks: int, redundant: int = 0) -> Placement:
    """Copies for the hottest experts of ``popularity`` [E], then the copies packed on ranks of
    equal size.

    A further copy goes to the expert with the largest load a copy; slots, heaviest first, go to
    the lightest rank with room: the greedy rules of DeepSeek's EPLB (github.com/deepseek-ai/EPLB).

    Raises InputError where ranks do not divide the slots.
    """
    count = len(popularity)
    if ranks < 1 or redundant < 0 or (count + redundant) % ranks:
        raise InputError(
            f"{count} experts and {redundant} redundant ones on {ranks} ranks",
            hint="ranks divide the sum of both",
        )
    copies = np.ones(count, dtype=np.int64)
    for _ in range(redundant):
        copies[int(np.argmax(popularity / copies))] += 1
    expert = np.repeat(np.arange(count, dtype=np.int64), copies)
    load = (popularity / copies)[expert]
    order = np.argsort(-load, kind="stable")
    room = np.full(ranks, len(expert) // ranks)
    rank_load = np.zeros(ranks)
    rank = np.zeros(len(expert), dtype=np.int64)
    for slot in order:
        target = int(np.argmin(np.where(room > 0, rank_load, np.inf)))
        rank[slot], room[target] = target, room[target] - 1
        rank_load[target] += load[slot]
    return Placement(ranks, rank, expert)


@record
class RankLoads:
    """Per rank, [R]: expected token–expert pairs, their standard deviation, distinct experts."""

    pairs: Array
    deviation: Array
    distinct: Array

    @property
    def straggler(self) -> float:
        """Expected pairs of the fullest rank over the mean of the ranks."""
        return expected_maximum(self.pairs, self.deviation) / float(self.pairs.mean())


def rank_loads(popularity: Array, placement: Placement, tokens: float) -> RankLoads:
    """Loads [ranks] when ``tokens`` independent tokens are routed.

    A token's k picks are distinct, so picks on one rank repel picks on the others; with
    v = Σp(1 − p) over a rank and V over all, the variance a token is v(1 − v/V) (Hájek's for a
    sample of fixed size).
    """
    p = placement.slot_popularity(popularity)

    def by_rank(values: Array) -> Array:
        sums = np.bincount(placement.rank, weights=values, minlength=placement.ranks)
        return np.asarray(sums, dtype=np.float64)

    spread = by_rank(p * (1 - p))
    total = max(float(spread.sum()), 1e-300)
    variance = tokens * spread * np.maximum(1 - spread / total, 0.0)
    return RankLoads(
        pairs=tokens * by_rank(p), deviation=np.sqrt(variance), distinct=by_rank(touched(p, tokens))
    )


def expected_maximum(means: Sequence[float] | Array, deviations: Sequence[float] | Array) -> float:
    """E[max] of independent normals, ∫ x dΠΦ((x − μ)/σ), by the trapezoid rule."""
    mu, sigma = np.asarray(means, dtype=np.float64), np.asarray(deviations, dtype=np.float64)
    low = float((mu - 8 * sigma).max())
    high = float((mu + 8 * sigma).max())
    if not high > low:
        return float(mu.max())
    grid = np.linspace(low, high, _GRID)
    scale = np.where(sigma > 0, sigma, 1.0)
    z = (grid[:, None] - mu) / scale
    cdf = np.where(sigma > 0, _phi(z), z >= 0)
    below = cdf.prod(axis=1)
    return float(high - ((below[1:] + below[:-1]) / 2 * np.diff(grid)).sum())
