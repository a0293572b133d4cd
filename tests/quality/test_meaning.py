"""What a loss means: words by rising loss, agreement and tail from published pairs."""

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.quality.meaning import (
    NO_CHANGE,
    all_words,
    flip_slope,
    flip_slope_of,
    loss_words,
    p99_of,
    published_divergences,
    tail_factor,
    tail_factor_of,
    top1_agreement,
    word_of,
)

losses = st.floats(0, 20)


def test_the_scale_rises_and_has_no_end() -> None:
    edges = [word.below_nats for word in loss_words()]
    assert edges == sorted(set(edges))
    assert edges[-1] == inf
    assert all(word.source and word.reason for word in loss_words())


def test_nothing_changed_is_no_change_and_nothing_else_is() -> None:
    assert word_of(0.0) == NO_CHANGE
    assert word_of(1e-12) == loss_words()[0].word != NO_CHANGE


def test_an_edge_belongs_to_the_word_above_it() -> None:
    for below, above in zip(loss_words(), loss_words()[1:], strict=False):
        assert word_of(below.below_nats * (1 - 1e-9)) == below.word
        assert word_of(below.below_nats) == above.word


@given(losses, losses)
def test_more_loss_is_never_a_better_word_nor_more_agreement(one: float, other: float) -> None:
    low, high = sorted((one, other))
    words = all_words()
    assert words.index(word_of(low)) <= words.index(word_of(high))
    assert 1 >= top1_agreement(low) >= top1_agreement(high) >= 0
    assert p99_of(low) <= p99_of(high)


def test_a_slope_that_was_measured_on_the_model_goes_before_the_published_one() -> None:
    assert top1_agreement(0.01, 0.5) == pytest.approx(0.95)
    assert top1_agreement(0.01) == pytest.approx(1 - flip_slope() * 0.1)
    assert top1_agreement(0.0, 3.0) == top1_agreement(0.0) == 1.0


def test_each_model_counts_once() -> None:
    rows = published_divergences()
    one = [row for row in rows if row.model == rows[0].model]
    others = [row for row in rows if row.model != rows[0].model]
    assert flip_slope_of([*rows, *one, *one]) == pytest.approx(flip_slope_of(rows))
    assert flip_slope_of(one) != pytest.approx(flip_slope_of(others))


def test_the_constants_lie_among_the_pairs_they_come_from() -> None:
    flips = [(1 - r.top1) / sqrt(r.mean_kl) for r in published_divergences() if r.top1 is not None]
    tails = [r.p99_kl / r.mean_kl for r in published_divergences() if r.p99_kl is not None]
    assert min(flips) < flip_slope() < max(flips)
    assert min(tails) < tail_factor() < max(tails)
    assert tail_factor_of(published_divergences()) == tail_factor()
