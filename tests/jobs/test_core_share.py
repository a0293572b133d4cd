"""What other programs take of the cores, and what is made of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.jobs import core_share as module
from planner.jobs.core_share import (
    LEAST_SHARE,
    core_share,
    disturbed_note,
    is_disturbed,
    least_disturbed,
)


class HalfAClock:
    """Each look at the wall's clock takes a second, of which a thread gets a half."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now

    def thread_time(self) -> float:
        return 0.5 * self.now


def test_the_share_is_of_processor_time_over_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", HalfAClock())
    assert core_share(1, seconds=20.0) == 0.5


def test_a_share_of_a_core_is_one_at_most() -> None:
    start = time.perf_counter()
    assert 0.0 <= core_share(2, seconds=0.01) <= 1.0
    assert time.perf_counter() - start >= 0.01


@pytest.mark.parametrize(
    ("share", "disturbed"),
    [("", False), (None, False), (1.0, False), ("0.71", False), ("0.5", True), (0.0, True)],
)
def test_a_row_without_a_share_is_taken_as_it_is(share: object, disturbed: bool) -> None:
    assert is_disturbed({"share": share} if share is not None else {}) is disturbed
    note = disturbed_note([{"share": share}])
    assert ("1 of 1" in note) is disturbed


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1e-6, 10)), min_size=3, max_size=3))
def test_the_fastest_of_those_that_had_their_cores_counts(
    runs: list[tuple[float, float]],
) -> None:
    made = iter(runs)
    current = [runs[0][0]]

    def run() -> float:
        current[0], seconds = next(made)
        return seconds

    calls = [0]

    def share() -> float:
        calls[0] += 1
        return 1.0 if calls[0] % 2 else current[0]  # before each run nothing is known

    seconds, had = least_disturbed(run, share, float, 3)
    good = next((pair for pair in runs if pair[0] >= LEAST_SHARE), None)
    if good is not None:
        assert (had, seconds) == good
    else:
        assert seconds == min(s for _, s in runs)
        assert had < LEAST_SHARE


def test_what_stays_disturbed_is_not_run_on_and_on() -> None:
    made: list[float] = []

    def run() -> float:
        made.append(float(len(made)))
        return 1.0

    assert least_disturbed(run, lambda: 0.1, float, 3, within=-1.0) == (1.0, 0.1)
    assert len(made) == 1
    assert least_disturbed(run, lambda: 0.1, float, 3, within=1e9) == (1.0, 0.1)
    assert len(made) == 4
