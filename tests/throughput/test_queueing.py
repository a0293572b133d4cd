"""The wait before a prompt is read: M/D/1, capped by what a closed loop holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.throughput.queueing import MOST_BUSY, closed_loop_wait, ttft_factor

SHARES = st.floats(0, 1)


def of(share: float, sequences: float, stages: float = 1.0) -> float:
    return float(ttft_factor(np.array(share), np.array(sequences), np.array(stages)))


@given(SHARES, SHARES, st.integers(1, 4096))
def test_a_busier_rank_waits_longer(one: float, other: float, sequences: int) -> None:
    low, high = sorted((one, other))
    assert 1.0 <= of(low, sequences) <= of(high, sequences)


@given(SHARES, st.integers(1, 4096), st.integers(1, 16))
def test_no_more_wait_than_the_other_sequences(share: float, sequences: int, pp: int) -> None:
    assert of(share, sequences, pp) <= 1 + (sequences - 1) / 2 / pp + 1e-12


def test_half_busy_waits_half_a_prompt() -> None:
    assert of(0.5, 1000) == pytest.approx(1.5)
    assert of(0.5, 1000, 2) == pytest.approx(1.25)
    assert of(0.3, 1) == 1.0
    assert of(1.0, 10**6) == pytest.approx(1 + MOST_BUSY / (2 * (1 - MOST_BUSY)))


def test_the_queue_is_in_the_units_of_its_service() -> None:
    waits = closed_loop_wait(np.array([0.5, 0.5]), np.array([1.0, 3.0]), np.array([99.0, 99.0]))
    assert waits == pytest.approx([0.5, 1.5])
