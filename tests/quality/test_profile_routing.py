"""Router margins and flips, against noise that is drawn; shares of experts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.quality.routing import flip_rate, margins, shares


@pytest.mark.parametrize("error", [1e-4, 1e-3, 1e-2])
def test_flip_rate_is_what_drawn_noise_does(error: float) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2000, 256)), rng.standard_normal((16, 256))
    logits = x @ w.T
    predicted = flip_rate(margins(logits, 4), error)
    noisy = (x + np.sqrt(error) * rng.standard_normal(x.shape)) @ w.T
    chosen, after = (np.sort(np.argsort(-a, axis=1)[:, :4], axis=1) for a in (logits, noisy))
    flipped = float((chosen != after).any(axis=1).mean())
    # The last choice and its first rival decide alone for small noise; further pairs add some.
    assert predicted * 0.8 < flipped < predicted * 1.5 + 0.01


def test_margins_are_between_the_last_chosen_and_the_first_left_out() -> None:
    logits = np.array([[4.0, 1.0, 3.0, 2.5]])
    assert margins(logits, 2)[0] == pytest.approx(0.5 / logits.std())


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_more_noise_flips_more(found: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    margin = np.array(found)
    assert 0 <= flip_rate(margin, low) <= flip_rate(margin, high) <= 0.5


def test_shares() -> None:
    assert shares(np.array([1, 1, 2])).tolist() == [0.75, 0.75, 1.5]
    for bad in ([], [0, 0], [-1, 2]):
        with pytest.raises(InputError):
            shares(np.array(bad))
    with pytest.raises(InputError, match="no margin"):
        margins(np.zeros((2, 4)), 4)
    with pytest.raises(InputError):
        flip_rate(np.array([1.0]), -1)


@pytest.mark.parametrize("per_token", [0, -1, 4, 5])
def test_a_margin_needs_a_chosen_expert_and_one_that_is_not(per_token: int) -> None:
    logits = np.arange(8, dtype=np.float64).reshape(2, 4)
    with pytest.raises(InputError, match="leave no margin"):
        margins(logits, per_token)
    assert margins(logits, 3).shape == (2,)
