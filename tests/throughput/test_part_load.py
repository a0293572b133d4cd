"""Work of a part of a layer's experts: both parts together are the layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.throughput.expert_load import expected_load, log_normal_popularity, part_load


@given(resident=st.integers(0, 64), tokens=st.sampled_from([1.0, 3.0, 40.0, 2048.0]))
def test_both_parts_are_the_layer(resident: int, tokens: float) -> None:
    many = np.array([tokens])
    cold, hot = (
        part_load(64, 6, 0.8, many, own) for own in ((0, 64 - resident), (64 - resident, 64))
    )
    whole = expected_load(64, 6, 0.8, many, np.ones(1))
    assert cold.pairs + hot.pairs == pytest.approx(tokens * 6, rel=1e-9)
    assert cold.touched + hot.touched == pytest.approx(whole.touched, rel=2e-3)
    assert cold.elsewhere == pytest.approx(hot.pairs, rel=1e-9, abs=1e-9)
    if 0 < resident < 64:
        each = hot.pairs / resident, cold.pairs / (64 - resident)
        assert each[0] >= each[1]  # the popular ones are on the device


def test_the_most_popular_are_taken() -> None:
    popularity = log_normal_popularity(8, 2, 1.0)
    one = part_load(8, 2, 1.0, np.array([1.0]), (7, 8))
    assert one.pairs == pytest.approx(popularity.max())
