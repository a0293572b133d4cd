"""Prompts a step for many candidates at once are those of each candidate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.throughput.arrivals import (
    prompts_a_step,
    prompts_each_step,
    ranks_reading,
    share_of_others,
)


@pytest.mark.parametrize("mean", [0.3, 40.0, 699.0, 701.0, 30_000.0])
def test_the_busiest_rank_is_the_mean_of_drawn_maxima(mean: float) -> None:
    drawn = np.random.default_rng(7).poisson(mean, (20_000, 8)).max(axis=1)
    found = prompts_a_step(8 * mean, 8)
    assert abs(found - drawn.mean()) < 5 * drawn.std() / np.sqrt(len(drawn))


@given(st.floats(1e-6, 40_000), st.floats(1e-4, 10), st.integers(1, 256))
def test_more_arrivals_are_more_prompts_a_step(mean: float, more: float, ranks: int) -> None:
    less, greater = (prompts_a_step(m * ranks, ranks) for m in (mean, mean + more))
    assert mean * (1 - 1e-12) <= less < greater


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0, 300), st.floats(0, 1e6)), st.integers(1, 256)),
        min_size=1,
        max_size=8,
    )
)
def test_arrays_are_each_candidate(pairs: list[tuple[float, int]]) -> None:
    rate, ranks = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    assert prompts_each_step(rate, ranks).tolist() == pytest.approx(
        [prompts_a_step(r, n) for r, n in pairs], rel=1e-12
    )


def test_ranks_that_read_at_once_go_from_one_to_all() -> None:
    rate, ranks = np.array([0.0, 1e-9, 0.5, 8.0, 800.0, 3.0]), np.array([8.0] * 5 + [1.0])
    found = ranks_reading(rate, ranks)
    assert found[[0, 5]].tolist() == [1.0, 1.0]
    assert found[1] == pytest.approx(1.0)
    assert np.all(np.diff(found[:5]) >= 0)
    assert found[4] == pytest.approx(8.0)
    # 8 prompts on 8 ranks: each has none with e^-1
    assert found[3] == pytest.approx(8 * (1 - np.exp(-1)) / (1 - np.exp(-8)))


@given(st.integers(1, 16), st.integers(1, 60), st.integers(0, 60))
def test_prompts_of_others_while_one_decodes(users: int, decoding: int, waiting: int) -> None:
    """Users that each decode for D of every D + W, at any moment of their turns: prompts that are
    read while the first of them decodes, counted."""
    turn = decoding + waiting
    moments = [(user, moment) for user in range(users) for moment in range(turn)]
    read = sum(user > 0 and waiting <= moment < turn for user, moment in moments) / turn
    active = users * decoding / turn
    assert active * share_of_others(users) == pytest.approx(read)
    assert share_of_others(1) == share_of_others(0.5) == 0.0
