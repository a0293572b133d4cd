"""Times to the first token against M/D/1, known since Erlang, and what passes are made of."""

from math import exp, factorial, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.served_ranks import served_rank

from planner.sizing.first_token import FirstTokens, first_tokens, passes
from planner.sizing.rank import ServedRank, rank_pace
from planner.throughput.scheduling import Scheduling


def waits_at_most(rate: float, service: float, time: float) -> float:
    """P(W ≤ t) of M/D/1 (Erlang, 1909)."""
    load = rate * service
    return (1 - load) * sum(
        (rate * (k * service - time)) ** k / factorial(k) * exp(-rate * (k * service - time))
        for k in range(floor(time / service) + 1)
    )


def found(rank: ServedRank, rate: float, batch: float, phases: int = 1) -> FirstTokens:
    one = first_tokens(rank, rank_pace(rank, rate), rate, batch, phases)
    assert one is not None
    return one


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.95])
def test_prompts_one_by_one_on_an_idle_rank_are_m_d_1(load: float) -> None:
    rank = served_rank(together=1.0, once=0.0)
    service = rank.times.prompt
    one = found(rank, load / service, 0.0)
    assert one.mean == pytest.approx(service * (1 + load / 2 / (1 - load)), rel=0.01)
    for wait in (0.5 * service, 1.5 * service, 3.0 * service):
        below = float(one.chance[one.seconds <= service + wait].sum())
        assert below == pytest.approx(waits_at_most(load / service, service, wait), abs=0.03)


def test_a_lone_prompt_waits_for_the_step_under_way() -> None:
    rank = served_rank()
    one = found(rank, 1e-6, 20.0)
    step = rank.bare(20.0)
    assert one.mean == pytest.approx(1.5 * step + rank.cost(20.0), rel=1e-3)
    likely = one.seconds[one.chance > 1e-4]
    assert likely[0] >= step + rank.cost(20.0)
    assert likely[-1] <= 2 * step + rank.cost(20.0) * (1 + 1e-3)


@pytest.mark.parametrize(
    ("together", "units", "most"),
    [(1.0, 1, 1), (8.0, 1, 8), (0.25, 4, 1), (1.5, 2, 3), (0.125, 8, 1), (0.05, 8, 1)],
)
def test_a_pass_holds_what_the_budget_says(together: float, units: int, most: int) -> None:
    rank = served_rank(together=together)
    work = passes(rank, rank_pace(rank, 1.0), 1.0, 4.0)
    assert (work.units, work.most) == (units, most)
    if together > 0.1:
        assert work.most / work.units == pytest.approx(together, rel=0.03)


def test_even_arrivals_wait_less() -> None:
    rank = served_rank(together=1.0)
    poisson, even = (found(rank, 14.0, 10.0, phases) for phases in (1, 4))
    assert even.mean < poisson.mean
    assert even.chance.sum() == pytest.approx(1.0)


def test_ranks_that_step_together_wait_for_the_busiest() -> None:
    alone, beside = (found(served_rank(ranks=n), 2.0, 10.0) for n in (1, 8))
    assert beside.mean > alone.mean


def test_prompts_that_run_alone_hold_the_batch() -> None:
    rank = served_rank(policy=Scheduling(exclusive=True), together=1.0)
    work = passes(rank, rank_pace(rank, 1.0), 1.0, 16.0)
    assert work.seconds == pytest.approx([rank.bare(16.0), rank.times.prompt])


def test_more_prompts_than_are_read_have_no_end() -> None:
    rank = served_rank(together=1.0)
    assert first_tokens(rank, rank_pace(rank, 25.0), 25.0, 0.0, 1) is None


@given(
    st.floats(0.05, 0.8),
    st.floats(1.0, 200.0),
    st.sampled_from([0.3, 1.0, 2.5, 8.0]),
    st.sampled_from([1, 4]),
)
def test_chances_are_chances_and_a_higher_rate_waits_longer(
    load: float, batch: float, together: float, phases: int
) -> None:
    rank = served_rank(together=together)
    most = 1.0 / (rank.cost(batch) + rank.bare(batch) / together)
    low, high = (found(rank, load * most * by, batch, phases) for by in (1.0, 1.08))
    assert low.chance.sum() == pytest.approx(1.0)
    assert np.all(np.diff(low.seconds) >= 0)
    assert high.mean >= low.mean * (1 - 1e-6)
