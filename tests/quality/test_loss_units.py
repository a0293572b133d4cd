"""When two losses are called equal."""

import pytest

from planner.quality.loss_units import indistinguishable


@pytest.mark.parametrize(
    ("ours", "theirs", "equal"),
    [
        (1.0, 2.0, True),
        (2.0, 1.0, True),
        (1.0, 2.001, False),
        (2.001, 1.0, False),
        (0.0, 0.0, True),
        (0.0, 1e-9, False),
    ],
)
def test_the_larger_may_be_the_band_times_the_smaller(
    ours: float, theirs: float, equal: bool
) -> None:
    assert indistinguishable(ours, theirs, 2.0) == equal
