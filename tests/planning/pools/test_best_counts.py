"""The best numbers of workers against every pair of numbers; what devices of a pool are paid."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.planning.pools.find_pools import device_budget
from planner.planning.pools.search import DeviceBudget, best_counts
from tests.support import theory


@settings(max_examples=examples(120, 1000))
@given(
    st.lists(st.integers(1, 50), max_size=5),
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 16),
    st.booleans(),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_no_other_numbers_read_and_answer_more_for_what_is_paid(
    more: list[int], rate: int, prefill: int, decode: int, devices: int, whole: bool, price: float
) -> None:
    caps = np.cumsum(np.array(more, dtype=np.float64))
    budget = DeviceBudget(devices, whole, price)
    found = best_counts(caps, float(rate), prefill, decode, budget)
    every = {}
    for n in range(1, len(caps) + 1):
        for m in range(1, devices + 1):
            if n * prefill + m * decode <= devices:
                paid = devices if whole else n * prefill * price + m * decode
                every[n, m] = min(caps[n - 1], m * rate) / paid
    if not every:
        assert found == (0.0, 0.0, 0, 0)
        return
    value, served, n, m = found
    assert value == pytest.approx(max(every.values())) == pytest.approx(every[n, m])
    assert served == min(caps[n - 1], m * rate)
    fewest = min(
        n * prefill + m * decode for (n, m), one in every.items() if one >= value * (1 - 1e-9)
    )
    assert n * prefill + m * decode == fewest


def test_under_cost_alone_the_prefill_pool_has_its_own_price() -> None:
    question = theory.ask("llama-3.1-70b", "h100-sxm", devices=8).questions()[0]
    dear, cheap = replace(question, price_per_hour=6.0), replace(question, price_per_hour=2.0)

    def budget(objective: str) -> DeviceBudget:
        return device_budget([replace(dear, objective=objective)], [cheap])

    assert budget("cost").prefill_price == pytest.approx(1 / 3)
    assert not budget("cost").all_paid
    assert budget("throughput").prefill_price == 1.0
    assert budget("throughput").all_paid
    assert budget("cost").devices == budget("throughput").devices == 8
