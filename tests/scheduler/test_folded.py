"""Passes that are folded as they come say what their rows say."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scheduling import hand_costs, hand_rules

from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.folded import (
    CELLS,
    GAP_RATIO,
    NONE_HELD,
    FoldedPasses,
    PassFolder,
    token_gaps,
)
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests
from planner.throughput.scheduling import Scheduling

COSTS, POLICY = hand_costs(), Scheduling()


def stream(count: int = 3000) -> RequestStream:
    draws = np.random.default_rng(5)
    came = np.cumsum(draws.exponential(0.05, count))
    return plain_stream(came, draws.integers(1, 120, count), draws.integers(1, 60, count))


def folded_of(served: ServedRequests) -> FoldedPasses:
    assert served.folded is not None
    return served.folded


@st.composite
def passes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, seconds, decoding) of passes that follow each other, or after a pause."""
    count = draw(st.integers(1, 40))
    values = st.sampled_from([0.5, 1.0, 3.0])
    seconds = np.array(draw(st.lists(values, min_size=count, max_size=count)))
    pauses = draw(st.lists(st.sampled_from([0.0, 0.0, 7.0]), min_size=count, max_size=count))
    decoding = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    ends = np.cumsum(seconds + pauses)
    return ends - seconds, seconds, np.array(decoding, dtype=np.float64)


@given(passes(), st.integers(0, 40))
def test_gaps_are_the_same_in_pieces(
    played: tuple[np.ndarray, np.ndarray, np.ndarray], cut: int
) -> None:
    """Prompts that held sequences up before a cut count after it."""
    whole, left = token_gaps(*played)
    first, held = token_gaps(*(values[:cut] for values in played))
    then, held = token_gaps(*(values[cut:] for values in played), held)
    np.testing.assert_array_equal(np.concatenate([first, then]), whole)
    assert held == left


def test_gaps_by_hand() -> None:
    """Two prompts hold a token up by 3 s; those before a pause hold nothing up."""
    rows = [(0, 1, 1), (1, 2, 0), (3, 1, 0), (4, 1, 2), (9, 2, 0), (11, 1, 1), (12, 3, 0)]
    start, seconds, decoding = (np.array(c, dtype=np.float64) for c in zip(*rows, strict=True))
    gaps, left = token_gaps(start, seconds, decoding)
    assert gaps[decoding > 0].tolist() == [1.0, 4.0, 3.0]
    assert (left.end, left.seconds) == (15.0, 3.0)
    ones = np.ones(1)
    assert token_gaps(ones * 15.0, ones, ones, left)[0].tolist() == [4.0]
    assert token_gaps(ones * 16.0, ones, ones, left)[0].tolist() == [1.0]


@given(passes())
def test_gaps_are_the_time_since_the_token_before_but_for_pauses(
    played: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    gaps, _ = token_gaps(*played)
    since, before = 0.0, 0.0
    for i, (start, seconds, decoding) in enumerate(zip(*played, strict=True)):
        since = seconds + (since if start == before else 0.0)
        before = start + seconds
        if decoding:
            assert gaps[i] == pytest.approx(since)
            since = 0.0


@given(passes(), st.integers(0, 40), st.sampled_from([1e-3, 1.0, 1e4]))
def test_sums_are_those_of_the_rows(
    played: tuple[np.ndarray, np.ndarray, np.ndarray], cut: int, span: float
) -> None:
    """However long a cell is at first, and in however many pieces passes come."""
    start, seconds, decoding = played
    share = np.linspace(0.1, 0.9, len(start))
    folder = PassFolder(span)
    for part in (slice(cut), slice(cut, None)):
        folder.add(start[part], seconds[part], share[part], decoding[part])
    folded = folder.folded()
    assert folded.end == start[-1] + seconds[-1]
    assert folded.cell_seconds * CELLS > start[-1]
    ends = np.linspace(0.0, folded.end, 5)[1:]
    for values, each in (
        (folded.seconds, seconds),
        (folded.sequence_seconds, seconds * decoding),
        (folded.share_seconds, seconds * share),
        (folded.tokens, decoding),
    ):
        place = (start // folded.cell_seconds).astype(int)
        np.testing.assert_allclose(values, np.bincount(place, each, CELLS))
        assert folded.on_intervals(values, ends).sum() == pytest.approx(each.sum())
    gaps, _ = token_gaps(start, seconds, decoding)
    for gap in np.unique(gaps[decoding > 0]):
        near = np.abs(folded.gap_seconds - gap) < 1e-9 * gap
        assert folded.gap_tokens[:, near].sum() == decoding[(gaps == gap)].sum()
    half = float(folded.cell_seconds * CELLS / 2)
    both = folded.gaps_between(0.0, half) + folded.gaps_between(half, np.inf)
    np.testing.assert_array_equal(both, folded.gap_tokens.sum(axis=0))


def test_cells_are_spread_over_the_intervals_that_they_lie_in() -> None:
    folder = PassFolder(CELLS / 2.0)  # cells of a second
    folder.add(np.array([0.0, 3.0]), np.ones(2), np.ones(2), np.array([4.0, 8.0]))
    folded = folder.folded()
    assert folded.cell_seconds == 1.0
    assert folded.on_intervals(folded.tokens, np.array([0.5, 3.25, 3.5])).tolist() == [2, 4, 6]


def test_gaps_of_a_time_are_those_of_cells_with_their_middle_in_it() -> None:
    folder = PassFolder(CELLS / 2.0)  # gaps are counted in cells of 32 s
    start = np.array([10.0, 40.0, 100.0])
    folder.add(start, np.array([1.0, 2.0, 3.0]), np.ones(3), np.array([5.0, 6.0, 7.0]))
    folded = folder.folded()
    for first, end, tokens in ((0.0, 16.5, 5), (16.5, 48.5, 6), (48.5, 112.5, 7), (0.0, 16.0, 0)):
        assert folded.gaps_between(first, end).sum() == tokens, (first, end)
    assert (folded.gap_seconds @ folded.gaps_between(16.0, 49.0)) == pytest.approx(5 * 1 + 6 * 2)


def test_what_begins_beyond_the_last_interval_counts_in_it() -> None:
    folder = PassFolder(CELLS / 2.0)
    folder.add(np.array([0.0, 90.0]), np.ones(2), np.ones(2), np.array([4.0, 8.0]))
    folded = folder.folded()
    assert folded.on_intervals(folded.tokens, np.array([0.5, 10.0])).tolist() == [2.0, 10.0]


def test_gaps_too_short_for_a_bin_are_told_apart() -> None:
    folder = PassFolder(1.0)
    folder.add(np.arange(2.0), np.array([1e-9, 1.001e-6]), np.ones(2), np.array([3.0, 4.0]))
    folded = folder.folded()
    tokens = folded.gap_tokens.sum(axis=0)
    assert tokens[:2].tolist() == [3.0, 4.0]
    assert folded.gap_seconds[:2] == pytest.approx([1e-9, 1.001e-6])


def test_nothing_folds_to_nothing() -> None:
    folder = PassFolder(0.0)
    folder.add(*(np.zeros(0) for _ in range(4)))
    folded = folder.folded()
    assert (folded.end, folded.seconds.sum(), folded.gap_tokens.sum()) == (0.0, 0.0, 0.0)
    assert token_gaps(*(np.zeros(0) for _ in range(3)))[1] == NONE_HELD


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_requests_are_served_alike(engine: str, replicas: int) -> None:
    """Folding changes no time of a request, in rows of half the width where numba runs them."""
    if engine == "numba" and find_spec("numba") is None:
        pytest.skip("numba is not installed")
    came = stream()
    rows = run(came, hand_rules(), COSTS, POLICY, replicas=replicas, engine="numpy")
    out = run(came, hand_rules(), COSTS, POLICY, replicas=replicas, engine=engine, fold=True)  # type: ignore[arg-type]
    for name in ("first_seconds", "last_seconds", "scheduled_seconds", "rejected"):
        np.testing.assert_array_equal(getattr(out, name), getattr(rows, name), err_msg=name)
    for name in ("preempted", "hit_tokens", "made_tokens"):
        np.testing.assert_array_equal(getattr(out, name), getattr(rows, name), err_msg=name)
    assert out.made_tokens.dtype == (np.int32 if engine == "numba" else np.int64)
    assert len(out.start_seconds) == 0
    folded = folded_of(out)
    assert folded.seconds.sum() == pytest.approx(rows.pass_seconds.sum())
    assert folded.tokens.sum() == folded.gap_tokens.sum() == rows.decoding.sum()
    assert folded.sequence_seconds.sum() == pytest.approx(rows.pass_seconds @ rows.decoding)
    assert folded.share_seconds.sum() == pytest.approx(rows.pass_seconds @ rows.cache_share)


def test_a_bin_holds_gaps_that_are_alike() -> None:
    draws = np.random.default_rng(3)
    seconds = np.exp(draws.uniform(np.log(1e-4), np.log(10.0), 4000))
    start = np.cumsum(seconds) - seconds
    folder = PassFolder(float(start[-1]))
    folder.add(start, seconds, np.zeros(4000), np.ones(4000))
    folded = folder.folded()
    told = np.repeat(folded.gap_seconds, folded.gap_tokens.sum(axis=0).astype(int))
    np.testing.assert_allclose(told, np.sort(seconds), rtol=GAP_RATIO - 1)
