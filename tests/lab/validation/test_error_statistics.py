"""Statistics of errors, by hand and by numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.lab.validation.grouping import quantile, summarise

errors = st.lists(st.floats(-500, 500), min_size=1, max_size=60)


def test_by_hand() -> None:
    found = summarise([-2.0, 1.0, 4.0])
    assert (found.n, found.median_ape) == (3, 2.0)
    assert found.mape == pytest.approx(7 / 3)
    assert found.bias == pytest.approx(1.0)
    assert found.p90_ape == pytest.approx(3.6)


def test_no_predictions_have_no_errors() -> None:
    found = summarise([])
    assert (found.n, found.mape, found.median_ape, found.p90_ape, found.bias) == (
        0,
        None,
        None,
        None,
        None,
    )


@given(values=errors, share=st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    assert quantile(sorted(values), share) == pytest.approx(
        float(np.quantile(values, share)), abs=1e-9
    )


@settings(max_examples=examples(30, 2000))
@given(values=errors)
def test_order_does_not_matter(values: list[float]) -> None:
    there, back = summarise(values), summarise(values[::-1])
    assert there.median_ape == back.median_ape
    assert there.p90_ape == back.p90_ape
    assert there.bias == pytest.approx(back.bias)
