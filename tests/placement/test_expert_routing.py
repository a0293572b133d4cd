"""Distinct experts and rank loads against Monte-Carlo simulation, seeds fixed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.placement.routing import (
    Array,
    balanced_placement,
    contiguous_placement,
    effective_tokens,
    expected_distinct,
    expected_maximum,
    given_popularity,
    power_law_popularity,
    rank_loads,
    touched,
    touched_correlated,
    uniform_popularity,
)


def sample(p: Array, tokens: int, rng: np.random.Generator) -> Array:
    """bool [token, expert]: every token picks Σp experts, expert i with probability p_i exactly.

    Systematic sampling over a shuffled order (Madow 1949).
    """
    picked = np.zeros((tokens, len(p)), dtype=bool)
    for token in range(tokens):
        order = rng.permutation(len(p))
        ends = np.cumsum(p[order]) + rng.random()
        picked[token, order] = np.floor(ends) > np.floor(ends - p[order])
    return picked


@pytest.mark.parametrize(
    ("count", "k", "skew"), [(256, 8, 0.0), (256, 8, 0.7), (128, 8, 1.0), (64, 6, 1.5), (8, 2, 0.5)]
)
def test_distinct_experts_of_independent_tokens(count: int, k: int, skew: float) -> None:
    rng = np.random.default_rng(20260)
    p = power_law_popularity(count, k, skew)
    for tokens in (1, 8, 64):
        runs = np.array([sample(p, tokens, rng).any(axis=0).sum() for _ in range(60)])
        error = max(runs.std() / len(runs) ** 0.5, 0.02)
        assert abs(runs.mean() - float(expected_distinct(p, tokens))) < 4 * error


def test_uniform_is_the_closed_form() -> None:
    p = uniform_popularity(256, 8)
    for tokens in (0, 1, 7, 128, 4096):
        assert float(expected_distinct(p, tokens)) == pytest.approx(
            256 * (1 - (1 - 8 / 256) ** tokens), abs=1e-9
        )
    assert expected_distinct(p, [1, 64]) == pytest.approx([8.0, 222.44], abs=0.01)


def test_group_limited_routing_does_not_change_the_count() -> None:
    """Four of eight groups first, then eight experts in them, all alike: same distinct experts."""
    rng = np.random.default_rng(7)
    runs = []
    for _ in range(150):
        seen: set[int] = set()
        for _ in range(32):
            groups = rng.permutation(8)[:4]
            pool = np.concatenate([np.arange(g * 32, g * 32 + 32) for g in groups])
            seen.update(rng.choice(pool, 8, replace=False).tolist())
        runs.append(len(seen))
    assert np.mean(runs) == pytest.approx(
        float(expected_distinct(uniform_popularity(256, 8), 32)), abs=1.5
    )


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(("requests", "tokens"), [(8, 64), (1, 64), (8, 32)])
def test_tokens_of_a_request_route_alike(correlation: float, requests: int, tokens: int) -> None:
    """Top-8 of 256 normal scores that share a component: one-factor model within 6 %."""
    rng = np.random.default_rng(3)
    runs = []
    for _ in range(40):
        common = np.repeat(rng.standard_normal((requests, 256)), tokens // requests, axis=0)
        own = rng.standard_normal((tokens, 256))
        score = correlation**0.5 * common + (1 - correlation) ** 0.5 * own
        runs.append(len(np.unique(np.argpartition(-score, 7, axis=1)[:, :8])))
    model = touched_correlated(uniform_popularity(256, 8), tokens, requests, correlation).sum()
    assert model == pytest.approx(np.mean(runs), rel=0.06)


def test_full_correlation_counts_requests() -> None:
    p = power_law_popularity(64, 6, 0.5)
    assert touched_correlated(p, 64, 4, 1.0) == pytest.approx(touched(p, 4))
    near = touched_correlated(p, 64, 4, 1e-9).sum()
    assert near == pytest.approx(float(expected_distinct(p, 64)), rel=1e-4)


def test_effective_tokens_inverts() -> None:
    p = power_law_popularity(128, 8, 0.8)
    assert effective_tokens(p, float(expected_distinct(p, 37.5))) == pytest.approx(37.5)
    with pytest.raises(InputError, match="distinct experts"):
        effective_tokens(p, 128)


@pytest.mark.parametrize(("ranks", "tokens"), [(8, 64), (16, 256), (32, 1024)])
def test_straggler_and_local_experts(ranks: int, tokens: int) -> None:
    rng = np.random.default_rng(11)
    p = uniform_popularity(256, 8)
    worst, local = [], []
    for _ in range(60):
        picked = np.argsort(rng.random((tokens, 256)), axis=1)[:, :8]
        loads = np.bincount(picked.ravel() // (256 // ranks), minlength=ranks)
        worst.append(loads.max() / loads.mean())
        local.append(len(np.unique(picked)) / ranks)
    got = rank_loads(p, contiguous_placement(256, ranks), tokens)
    assert got.straggler == pytest.approx(np.mean(worst), rel=0.025)
    assert got.distinct.mean() == pytest.approx(np.mean(local), rel=0.01)
    assert got.pairs.sum() == pytest.approx(8 * tokens)


def test_skewed_ranks_against_simulation() -> None:
    rng = np.random.default_rng(5)
    p = rng.permutation(power_law_popularity(64, 4, 0.6))
    runs = []
    for _ in range(150):
        picked = sample(p, 64, rng)
        runs.append(picked.reshape(64, 8, 8).sum(axis=(0, 2)).max() / 32)
    got = rank_loads(p, contiguous_placement(64, 8), 64)
    assert got.straggler == pytest.approx(np.mean(runs), rel=0.03)


def test_redundant_experts_even_the_ranks_out() -> None:
    p = np.random.default_rng(0).permutation(power_law_popularity(256, 8, 0.8))
    plain = rank_loads(p, contiguous_placement(256, 32), 4096)
    packed = rank_loads(p, balanced_placement(p, 32), 4096)
    copied = rank_loads(p, balanced_placement(p, 32, 32), 4096)
    assert plain.straggler > packed.straggler > copied.straggler > 1
    assert copied.pairs.sum() == pytest.approx(plain.pairs.sum())
    assert copied.straggler < 1.1


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 40), redundant=st.integers(0, 24), skew=st.floats(0, 3), data=st.data())
def test_every_expert_has_a_place(
    count: int,
    redundant: int,
    skew: float,
    data: st.DataObject,
) -> None:
    k = data.draw(st.integers(1, count))
    p = power_law_popularity(count, k, skew)
    total = count + redundant
    ranks = data.draw(st.sampled_from([r for r in range(1, total + 1) if total % r == 0]))
    found = balanced_placement(p, ranks, redundant)
    assert (found.copies(count) >= 1).all()
    assert (np.bincount(found.rank, minlength=ranks) == total // ranks).all()
    assert found.slot_popularity(p).sum() == pytest.approx(k)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 200), skew=st.floats(0, 8), tokens=st.integers(0, 500), data=st.data())
def test_popularity_is_one_and_skew_touches_fewer(
    count: int, skew: float, tokens: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, count))
    p = power_law_popularity(count, k, skew)
    assert p.sum() == pytest.approx(k)
    assert (np.diff(p) <= 1e-12).all()
    assert (p >= 0).all()
    assert p.max() <= 1 + 1e-12
    here = float(expected_distinct(p, tokens))
    assert here <= float(expected_distinct(uniform_popularity(count, k), tokens)) + 1e-6
    assert here <= float(expected_distinct(p, tokens + 1)) + 1e-9


def test_largest_of_normals() -> None:
    """E[max] of two standard normals is 1/√π."""
    assert expected_maximum([0, 0], [1, 1]) == pytest.approx(np.pi**-0.5, abs=1e-6)
    assert expected_maximum([1, 5], [0, 0]) == 5
    assert expected_maximum([100, 0], [1, 1]) == pytest.approx(100, abs=1e-3)


def test_given_loads() -> None:
    assert given_popularity([30, 10], 1).tolist() == [0.75, 0.25]
    for loads, message in (
        ([3, 1], "more than|picks a token"),
        ([0, 0], "not all 0"),
        ([-1, 2], "at least 0"),
        ([float("nan"), 1], "at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            given_popularity(loads, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_law_popularity(8, 9, 0.0),
        lambda: power_law_popularity(8, 2, -1.0),
        lambda: power_law_popularity(8, 2, float("nan")),
        lambda: contiguous_placement(10, 4),
        lambda: balanced_placement(uniform_popularity(8, 2), 3),
        lambda: touched_correlated(uniform_popularity(8, 2), 4, 5, 0.5),
        lambda: touched_correlated(uniform_popularity(8, 2), 4, 1, 1.5),
    ],
)
def test_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(InputError):
        call()
