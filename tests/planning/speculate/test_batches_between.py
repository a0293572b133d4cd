"""Batches that drafting is looked at: between two, all or spread by ratio."""

import numpy as np
import pytest

from planner.planning.speculate.info import POINTS, _between


@pytest.mark.parametrize(
    ("low", "high"), [(10, 11), (10, 12), (0, POINTS + 1), (0, POINTS + 2), (10, 1_000_000)]
)
def test_numbers_lie_between_and_reach_both_ends(low: int, high: int) -> None:
    found = _between(low, high)
    inside = np.arange(low + 1, high)
    assert len(found) == len(np.unique(found)) <= POINTS
    assert np.isin(found, inside).all()
    if len(inside) <= POINTS:
        assert found.tolist() == inside.tolist()
    else:
        assert (found[0], found[-1]) == (low + 1, high - 1)
        steps = found[1:] / found[:-1]
        assert steps[found[1:] > 1000].max(initial=1.0) < 1.4
