"""Error measures against hand counts."""

import math

import numpy as np
import pytest

from planner.base.errors import InputError
from planner.numerics import error


def test_hand_computed():
    stats = error([3.0, 4.0, 0.0], [3.0, 3.0, 1.0])
    assert stats.relative_power == 2 / 25
    assert stats.sqnr_db == pytest.approx(10 * math.log10(12.5))
    assert stats.max_abs == 1
    assert stats.max_rel == 0.25
    assert stats.rms == pytest.approx(math.sqrt(2 / 3))
    assert (stats.count, stats.overflowed, stats.flushed) == (3, 0, 0)


def test_equal_and_zero_references():
    assert error([1.0], [1.0]).sqnr_db == math.inf
    assert error([0.0], [0.0]).relative_power == 0
    assert error([0.0], [1.0]).relative_power == math.inf
    assert error([0.0], [1.0]).sqnr_db == -math.inf


def test_range_failures_are_counted_apart():
    stats = error([1.0, 2.0, 3.0, 1e-9], [np.inf, np.nan, 3.0, 0.0])
    assert (stats.overflowed, stats.flushed) == (2, 1)
    assert stats.relative_power == pytest.approx(1e-18 / 9)


def test_refused_input():
    with pytest.raises(InputError, match="differ"):
        error([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="reference"):
        error([np.nan], [1.0])
