"""Prompts a step for many candidates at once are those of each candidate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.throughput.arrivals import prompts_a_step, prompts_each_step


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 300), st.integers(1, 256)), min_size=1, max_size=8))
def test_arrays_are_each_candidate(pairs: list[tuple[float, int]]) -> None:
    rate, ranks = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    assert prompts_each_step(rate, ranks).tolist() == pytest.approx(
        [prompts_a_step(r, n) for r, n in pairs], rel=1e-12)
