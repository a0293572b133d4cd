"""Lengths of requests: drawn ones have the percentiles and the correlation of their trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.base.errors import InputError, UnknownNameError
from planner.requests.lengths import (
    FixedLengths,
    drawn_lengths,
    length_names,
    published_lengths,
    stream_of,
)

NAMES = st.sampled_from(length_names())


def ranks(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean ranks, those of equal values alike."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[where])


@pytest.mark.parametrize("name", length_names())
def test_drawn_lengths_have_the_published_means_percentiles_and_correlation(name: str) -> None:
    lengths = published_lengths(name)
    prompts, answers = drawn_lengths(lengths, 200_000, seed=1)
    assert prompts.mean() == pytest.approx(lengths.mean_input_tokens, rel=0.02)
    assert answers.mean() == pytest.approx(lengths.mean_output_tokens, rel=0.04)
    for share in (0.25, 0.5, 0.9):
        for drawn, published in (
            (prompts, lengths.input_tokens),
            (answers, lengths.output_tokens),
        ):
            at = published[np.searchsorted(lengths.share, share)]
            assert (drawn < at).mean() <= share + 0.01
            assert (drawn <= at).mean() >= share - 0.01
    found = np.corrcoef(ranks(prompts), ranks(answers))[0, 1]
    assert found == pytest.approx(lengths.rank_correlation, abs=0.02)


@given(NAMES, st.integers(1, 300), st.integers(0, 2**32))
def test_drawn_lengths_repeat_by_seed_and_stay_within_the_trace(
    name: str, count: int, seed: int
) -> None:
    lengths = published_lengths(name)
    prompts, answers = drawn_lengths(lengths, count, seed)
    again = drawn_lengths(lengths, count, seed)
    assert np.array_equal(prompts, again[0])
    assert np.array_equal(answers, again[1])
    for drawn, published in ((prompts, lengths.input_tokens), (answers, lengths.output_tokens)):
        assert max(1, published[0]) <= drawn.min()
        assert drawn.max() <= published[-1]


@pytest.mark.parametrize("name", length_names())
def test_percentiles_ascend_from_all_to_none_and_have_a_source(name: str) -> None:
    lengths = published_lengths(name)
    assert (lengths.share[0], lengths.share[-1]) == (0.0, 1.0)
    assert np.all(np.diff(lengths.share) > 0)
    assert np.all(np.diff(lengths.input_tokens) >= 0)
    assert np.all(np.diff(lengths.output_tokens) >= 0)
    assert "@" in lengths.source
    assert lengths.requests > 1000


def test_sharegpt_has_the_percentiles_that_sarathi_serve_tells() -> None:
    # arXiv:2403.02310, table 2: openchat_sharegpt4, prompts 1730 and 5696, answers 415 and 834.
    lengths = published_lengths("ShareGPT")
    at = np.searchsorted(lengths.share, [0.5, 0.9])
    assert lengths.input_tokens[at].tolist() == [1730, 5696]
    assert lengths.output_tokens[at].tolist() == [415, 834]


def test_fixed_lengths_are_all_alike_and_share_a_prefix() -> None:
    stream = stream_of(np.arange(4.0), FixedLengths(100, 7), hit_rate=0.25)
    assert stream.input_tokens.tolist() == [100] * 4
    assert stream.output_tokens.tolist() == [7] * 4
    assert stream.cached_tokens.tolist() == [25] * 4
    with pytest.raises(InputError):
        stream_of(np.arange(4.0), FixedLengths(0, 7))


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        published_lengths("azure-chat")
    assert "azure-co" in caught.value.hint
