"""Repeats to one time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lab.measuring.timing import LEAST, MOST, reduced, timed

TIMES = st.lists(st.floats(1e-9, 10.0), min_size=1, max_size=30)


@given(TIMES, st.integers(1, 100))
def test_the_minimum_counts_and_the_spread_is_never_negative(
    samples: list[float], calls: int
) -> None:
    found = reduced(samples, calls)
    assert found.best == pytest.approx(min(samples) / calls)
    assert found.spread >= 0
    assert found.repeats == len(samples)


@given(TIMES, st.floats(1.0, 100.0))
def test_a_disturbance_that_only_adds_changes_no_minimum(
    samples: list[float], worse: float
) -> None:
    assert reduced([*samples, max(samples) * worse]).best == reduced(samples).best


@pytest.mark.parametrize("samples", [[], [0.0], [1.0, -1.0]])
def test_no_time_is_no_measurement(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="no time was measured"):
        reduced(samples)


class Clock:
    """A clock that moves by ``step`` when the call is made."""

    def __init__(self, step: float) -> None:
        self.now, self.step, self.calls = 0.0, step, 0

    def __call__(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += self.step
        self.calls += 1


def test_a_slow_call_is_repeated_the_least_and_warmed_up() -> None:
    clock = Clock(5.0)
    found = timed(clock.work, 1.0, clock=clock)
    assert (found.repeats, found.best, clock.calls) == (LEAST, 5.0, LEAST + 1)


def test_a_fast_call_is_repeated_within_its_seconds_and_no_more_than_most() -> None:
    clock = Clock(0.25)
    assert timed(clock.work, 2.0, clock=clock).repeats == 8
    many = Clock(1e-6)
    assert timed(many.work, 1.0, calls=4, clock=many).best == pytest.approx(2.5e-7)
    assert many.calls == MOST + 1
