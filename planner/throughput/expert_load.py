"""Token-expert pairs of one rank: how many, on how many experts, in how many rows of a tile.

A grouped GEMM computes whole tiles of each expert's rows, reads each touched expert once, and its
collective waits for the fullest rank. Two kinds of routing: the synthetic ones that kernels are
benchmarked with (balanced, power law), and expectations under a popularity of experts.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.base.records import record
from planner.placement.routing import touched
from planner.throughput.slowest_rank import most_touched

Array = NDArray[np.float64]
Int = NDArray[np.int64]
TILES = (8.0, 16.0, 32.0, 64.0, 128.0)
"""Rows of the tiles that grouped GEMM kernels choose from."""
SEEDS = 8
STEEPEST = 8.0
"""Largest exponent of a power law that is drawn from."""
SHUFFLES = 31
_RANK_SEED = 20_251_124
GRID = 2.0 ** (np.arange(-32, 169) / 8)
"""Tokens at which expected work is tabulated, 1/16 to 2^21."""
LOG_GRID = np.log(GRID)
COARSE = 4
"""Every fourth point of the grid is enough for the slowest of several ranks."""


@record
class ExpertLoad:
    """Work of one rank, arrays of one shape S. ``pairs`` token-expert pairs; ``touched`` experts
    with at least one; ``padded`` [S, 5] rows after filling up to each of TILES; ``elsewhere``
    pairs of the same tokens on other ranks.
    """

    pairs: Array
    touched: Array
    padded: Array
    elsewhere: Array


def balanced_counts(tokens: int, experts: int, per_token: int) -> Int:
    """Tokens of each expert [E] when choice j of token t is expert t + j·⌈E/k⌉, modulo E.

    Fewer tokens than ⌈E/k⌉ are spread out: t·⌈E/k⌉/T takes the place of t. The rule of
    aiconfigurator's benchmarks (github.com/ai-dynamo/aiconfigurator, collector/helper.py).
    """
    stride = -(-experts // per_token)
    token = np.arange(tokens, dtype=np.float64)
    first = token if tokens >= stride else token * stride / tokens
    chosen = (first[:, None] + np.arange(per_token) * stride) % experts
    counts = np.bincount(chosen.astype(np.int64).ravel(), minlength=experts)
    return np.asarray(counts, dtype=np.int64)


def power_law_counts(tokens: int, experts: int, per_token: int, exponent: float, seed: int) -> Int:
    """Tokens of each expert [E], proportional to draws from a density x^-exponent on a range.

    The range is 1 … 0.8·T, or 0.01 … 2 where there are no more pairs than experts; counts are
    rounded and made to add up to T·k at the fullest experts, ties at random. The law of
    aiconfigurator's benchmarks, which draw without a fixed seed.
    """
    low, high = (1.0, 0.8 * tokens) if tokens * per_token > experts else (0.01, 2.0)
    random = np.random.default_rng([seed, tokens, experts, per_token])
    drawn = random.random(experts)
    if exponent == 1.0:
        weight = low * (high / low) ** drawn
    else:
        power = 1.0 - exponent
        weight = ((high**power - low**power) * drawn + low**power) ** (1.0 / power)
    counts: Int = np.rint(weight / weight.sum() * tokens * per_token).astype(np.int64)
    order = np.lexsort((random.random(experts), -counts))
    missing = tokens * per_token - int(counts.sum())
    if missing > 0:
        counts[order] += missing // experts
        counts[order[: missing % experts]] += 1
    for i in range(-missing):
        spare = order[-(i % experts) - 1]
        counts[spare if counts[spare] > 0 else int(np.argmax(counts))] -= 1
    return counts


def benchmark_load(law: str, tokens: int, experts: int, per_token: int, ranks: int) -> ExpertLoad:
    """Work of the rank that a benchmark times: ``balanced`` the first, ``power_law_α`` the fullest.

    Power laws are averaged over SEEDS draws. Arrays are 0-d ([5] for ``padded``).

    Raises:
        InputError: another law, or experts that the ranks do not divide.
    """
    if ranks < 1 or experts % ranks:
        raise InputError(f"{experts} experts on {ranks} ranks", hint="ranks divide the experts")
    return _benchmark_load(law, tokens, experts, per_token, ranks)


@lru_cache(maxsize=4096)
def _benchmark_load(law: str, tokens: int, experts: int, per_token: int, ranks: int) -> ExpertLoad:
    if law == "balanced":
        local = [balanced_counts(tokens, experts, per_token)[: experts // ranks]]
    else:
        exponent = _exponent(law)
        local = []
        for seed in range(SEEDS):
            counts = power_law_counts(tokens, experts, per_token, exponent, seed)
            by_rank = counts.reshape(ranks, -1)
            local.append(by_rank[int(np.argmax(by_rank.sum(axis=1)))])
    counts = np.stack(local).astype(np.float64)
    padded = np.stack([np.ceil(counts / tile).sum(axis=1) * tile for tile in TILES], axis=-1)
    pairs = np.asarray(counts.sum(axis=1).mean())
    return ExpertLoad(
        pairs,
        np.asarray((counts > 0).sum(axis=1).mean()),
        padded.mean(axis=0),
        np.asarray(tokens * per_token - pairs),
    )


def part_load(
    experts: int, per_token: int, spread: float, tokens: Array, own: tuple[int, int]
) -> ExpertLoad:
    """Expected work of the experts ``own`` (first, behind the last), the least popular first, under
    a log-normal popularity; arrays [C] of ``tokens`` [C] of the whole layer. ``elsewhere`` are the
    pairs of the other experts. Rows in tiles as in :func:`expected_load`.
    """
    popularity = log_normal_popularity(experts, per_token, spread)[own[0] : own[1]]
    hit = touched(popularity, tokens)
    rows = tokens[:, None] * popularity
    padded = [np.maximum(tile * hit, rows + 0.5 * tile * hit).sum(axis=1) for tile in TILES]
    pairs = rows.sum(axis=1)
    return ExpertLoad(pairs, hit.sum(axis=1), np.stack(padded, axis=1), tokens * per_token - pairs)


def _exponent(law: str) -> float:
    name, _, number = law.rpartition("_")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if name != "power_law" or not 0 < value <= STEEPEST:
        raise InputError(
            f"routing {law!r} is not known", hint="balanced, or power_law_ and an exponent"
        )
    return value


def expected_load(
    experts: int, per_token: int, spread: float, tokens: Array, ranks: Array
) -> ExpertLoad:
    """Expected work that a layer waits for under a log-normal popularity of experts, arrays [C].

    Pairs are those of the rank whose experts are picked most. Few tokens are bound by weights, and
    then the layer waits for the rank that happens to touch most experts: ``touched`` is the
    expected maximum over the ranks.

    Args:
        spread: standard deviation of ln p (see :func:`log_normal_popularity`); 0 is uniform.
        tokens, ranks: tokens of the whole expert group and the ranks that share the experts.

    Tokens are independent, so that an expert's rows are binomial and Σ 1 − (1 − p)^T experts are
    touched. Rows in tiles of h: h·E⌈n/h⌉ ≈ max(h·P(n > 0), n̄ + h/2·P(n > 0)), exact where n is at
    most 1 and where it spreads over many tiles. Between the GRID of tokens logarithms are linear.
    """
    shape = np.broadcast_shapes(np.shape(tokens), np.shape(ranks))
    given = (np.broadcast_to(np.asarray(a, dtype=np.float64), shape) for a in (tokens, ranks))
    return _expected_load(experts, per_token, spread, shape, *(a.tobytes() for a in given))


@lru_cache(maxsize=64)
def _expected_load(
    experts: int,
    per_token: int,
    spread: float,
    shape: tuple[int, ...],
    token_bytes: bytes,
    rank_bytes: bytes,
) -> ExpertLoad:
    """:func:`expected_load` of arrays as bytes: all units of a layer ask for the same."""
    tokens, ranks = (np.frombuffer(b).reshape(shape) for b in (token_bytes, rank_bytes))
    logs = np.log(np.clip(tokens, GRID[0], GRID[-1]))
    columns = np.empty((*shape, 1 + len(TILES)))
    share = np.empty(shape)
    for count in set(ranks.ravel().tolist()):
        here = ranks == count
        share[here] = fullest_rank(experts, per_token, spread, int(count)).sum()
        table = _grid(experts, per_token, spread, int(count))
        for j, column in enumerate(table):
            columns[here, j] = np.interp(logs[here], LOG_GRID, column)
    pairs = share * tokens
    filled = np.exp(columns) * np.minimum(tokens / GRID[0], 1.0)[..., None]
    beyond = np.maximum(tokens / GRID[-1], 1.0)[..., None]
    expert_load = ExpertLoad(
        np.asarray(pairs),
        filled[..., 0],
        filled[..., 1:] * beyond,
        np.asarray(tokens * per_token - pairs),
    )
    for array in (
        expert_load.pairs,
        expert_load.touched,
        expert_load.padded,
        expert_load.elsewhere,
    ):
        array.setflags(write=False)
    return expert_load


@lru_cache(maxsize=1024)
def _grid(experts: int, per_token: int, spread: float, ranks: int) -> Array:
    """Logarithms of touched experts and padded rows of the slowest rank, [1 + 5, GRID]."""
    local = fullest_rank(experts, per_token, spread, ranks)
    hit = touched(local, GRID)
    rows = GRID[:, None] * local
    most = hit.sum(axis=1)
    if ranks > 1:
        dealt = dealt_popularity(experts, per_token, spread, ranks)
        most = np.exp(
            np.interp(LOG_GRID, LOG_GRID[::COARSE], np.log(most_touched(dealt, GRID[::COARSE])))
        )
    filled = [
        np.maximum(np.maximum(tile * hit, rows + 0.5 * tile * hit).sum(axis=1), tile * most)
        for tile in TILES
    ]
    return np.asarray(np.log(np.stack([most, *filled])), dtype=np.float64)


@lru_cache(maxsize=256)
def log_normal_popularity(experts: int, per_token: int, spread: float) -> Array:
    """Probabilities p [E] that a token picks each expert, most popular last; their sum is k.

    ln p is spread like the quantiles of a normal distribution of that standard deviation; an
    expert that would be picked more than once a token is picked by every token.

    Raises:
        InputError: experts a token or spread out of range.
    """
    if not 1 <= per_token <= experts or not 0 <= spread < 10:
        raise InputError(
            f"{per_token} of {experts} experts a token, spread {spread}",
            hint="at least one expert, at most all; a spread of 0 to 10",
        )
    normal = NormalDist()
    weight = np.exp(
        spread * np.array([normal.inv_cdf((i + 0.5) / experts) for i in range(experts)])
    )
    popularity = np.ones(experts)
    for full in range(per_token + 1):
        rest = weight[: experts - full]
        if full < experts:
            popularity[: experts - full] = rest / rest.sum() * (per_token - full)
        if full == experts or popularity[experts - full - 1] <= 1.0:
            break
        popularity[experts - full - 1] = 1.0
    popularity.setflags(write=False)
    return popularity


@lru_cache(maxsize=1024)
def dealt_popularity(experts: int, per_token: int, spread: float, ranks: int) -> Array:
    """Popularities [R, E/R] of R ranks, first the one whose experts are picked most.

    Which expert is popular has nothing to do with its number: of SHUFFLES fixed orders, the one
    whose fullest rank is the median.

    Raises:
        InputError: ranks that do not divide the experts.
    """
    if ranks < 1 or experts % ranks:
        raise InputError(f"{experts} experts on {ranks} ranks", hint="ranks divide the experts")
    popularity = log_normal_popularity(experts, per_token, spread)
    random = np.random.default_rng(_RANK_SEED)
    dealt = np.stack([random.permutation(popularity) for _ in range(SHUFFLES)])
    by_rank = dealt.reshape(SHUFFLES, ranks, -1)
    load = by_rank.sum(axis=2)
    middle = int(np.argsort(load.max(axis=1), kind="stable")[SHUFFLES // 2])
    fullest_first: Array = by_rank[middle][np.argsort(-load[middle], kind="stable")]
    fullest_first.setflags(write=False)
    return fullest_first


def fullest_rank(experts: int, per_token: int, spread: float, ranks: int) -> Array:
    """Popularities [E/R] of the rank whose experts are picked most, of R ranks."""
    return np.asarray(dealt_popularity(experts, per_token, spread, ranks)[0])
