"""Laws of arrivals: their rate, their variation, their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnknownNameError
from planner.requests.arrivals import (
    ArrivalLaw,
    RateStage,
    arrival_law,
    arrival_times,
    parse_stages,
    staged_times,
)

KINDS = st.sampled_from(["poisson", "constant", "gamma:0.5", "gamma:3", "burst"])
RATES = st.floats(1e-3, 1e4)
SEEDS = st.integers(0, 2**32)


@given(KINDS, RATES, st.integers(1, 500), SEEDS)
def test_times_ascend_repeat_by_seed_and_begin_a_longer_run(
    kind: str, rate: float, count: int, seed: int
) -> None:
    times = arrival_times(kind, rate, count, seed)
    assert len(times) == count
    assert times[0] >= 0
    assert np.all(np.diff(times) >= 0)
    assert np.array_equal(times, arrival_times(kind, rate, count, seed))
    assert np.array_equal(times, arrival_times(kind, rate, count + 70_000, seed)[:count])


@pytest.mark.parametrize(
    ("kind", "cv"), [("poisson", 1.0), ("gamma:0.5", 0.5), ("gamma:2", 2.0), ("gamma:4", 4.0)]
)
def test_gaps_have_the_mean_and_the_variation_that_was_asked(kind: str, cv: float) -> None:
    gaps = np.diff(arrival_times(kind, 20.0, 400_000, seed=3), prepend=0.0)
    assert gaps.mean() == pytest.approx(1 / 20, rel=5 * cv / 400_000**0.5)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_poisson_counts_vary_as_much_as_their_mean() -> None:
    times = arrival_times("poisson", 4.0, 200_000, seed=1)
    counts = np.bincount(times.astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.03)


def test_constant_arrivals_are_equally_far_apart_from_zero() -> None:
    assert arrival_times("constant", 4.0, 5, seed=9).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_another_seed_gives_other_times() -> None:
    one, other = (arrival_times("poisson", 1.0, 10, seed) for seed in (0, 1))
    assert not np.any(one == other)


@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(0.5, 50)), min_size=1, max_size=5),
    KINDS,
    SEEDS,
)
def test_stages_end_where_they_say_and_repeat_by_seed(
    stages: list[tuple[float, float]], kind: str, seed: int
) -> None:
    if kind == "gamma:3" or sum(s * r for s, r in stages) < 30:  # none may come at all
        stages = [*stages, (200.0, 2.0)]
    times = staged_times(stages, kind, seed)
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] <= sum(s for s, _ in stages)
    assert np.array_equal(times, staged_times(stages, kind, seed))


@pytest.mark.parametrize("kind", ["poisson", "gamma:2", "constant"])
def test_every_stage_has_its_own_rate(kind: str) -> None:
    stages = (RateStage(4_000, 5.0), RateStage(1_000, 0.0), RateStage(2_000, 40.0))
    times = staged_times(stages, kind, seed=5)
    counts = np.histogram(times, [0, 4_000, 4_999.999, 7_000])[0]
    assert counts[0] == pytest.approx(20_000, rel=0.05)
    assert counts[1] == 0
    assert counts[2] == pytest.approx(80_000, rel=0.03)


def test_one_stage_is_a_run_at_its_rate() -> None:
    staged = staged_times([(100.0, 8.0)], "poisson", seed=2)
    assert np.allclose(staged, arrival_times("poisson", 8.0, len(staged), seed=2), rtol=1e-12)


def test_variation_goes_on_across_stages() -> None:
    times = staged_times([(1_000.0, 50.0), (1_000.0, 100.0)], "gamma:2", seed=7)
    units = np.where(times < 1_000, 50 * times, 50_000 + 100 * (times - 1_000))
    gaps = np.diff(units)
    assert gaps.std() / gaps.mean() == pytest.approx(2.0, rel=0.03)


def test_a_burst_comes_as_its_stage_begins() -> None:
    times = staged_times([(10.0, 0.3), (10.0, 0.2)], "burst", seed=0)
    assert times.tolist() == [0.0, 0.0, 0.0, 10.0, 10.0]
    assert arrival_times("burst", 5.0, 3, seed=0).tolist() == [0.0, 0.0, 0.0]


def test_stages_are_read_with_their_units() -> None:
    assert parse_stages("600s@5/s, 10min@600/min,1h@36000/h,30@2") == (
        RateStage(600, 5),
        RateStage(600, 10),
        RateStage(3600, 10),
        RateStage(30, 2),
    )


@pytest.mark.parametrize(
    "text", ["", "600s", "600s@", "@5", "-5s@5", "600s@-5", "nan@5", "1s@nan", "1e400s@1", "5x@1"]
)
def test_what_is_no_stage_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"stage") as caught:
        parse_stages(text)
    assert "600s@5/s" in caught.value.hint


def test_laws_by_name() -> None:
    assert arrival_law(" Gamma:2.5 ") == ArrivalLaw("gamma", 2.5)
    assert arrival_law("poisson") == ArrivalLaw("poisson", 1.0)
    with pytest.raises(UnknownNameError) as caught:
        arrival_law("poison")
    assert "poisson" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["gamma", "gamma:", "gamma:0", "gamma:nan", "gamma:1e9", "burst:2"]
)
def test_a_variation_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        arrival_law(text)


@pytest.mark.parametrize(
    ("rate", "count"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (1.0, 0), (1.0, 10**9)]
)
def test_rates_and_counts_out_of_range_are_refused(rate: float, count: int) -> None:
    with pytest.raises(InputError):
        arrival_times("poisson", rate, count, seed=0)


@pytest.mark.parametrize("stages", [(), [(1.0, 0.0)], [(1e9, 1e9)]])
def test_stages_without_requests_or_with_too_many_are_refused(
    stages: list[tuple[float, float]],
) -> None:
    with pytest.raises(InputError, match="requests in all"):
        staged_times(stages, "poisson", seed=0)
