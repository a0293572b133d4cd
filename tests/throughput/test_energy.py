"""Energy and money follow power, time and batch; what is unknown is not guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.hardware.catalog import resolve_device
from planner.throughput.energy import activity, energy, replicas_for, usd_per_million_tokens

H100 = resolve_device("h100-sxm")
BLANK = dict.fromkeys(
    ("compute", "memory", "conversion", "launch", "communication", "quantise", "busy"), 0.0
)


def test_activity_is_that_of_the_longest_mechanism() -> None:
    memory = BLANK | {"memory": 2.0, "compute": 1.0, "busy": 2.0}
    compute = BLANK | {"memory": 1.0, "compute": 2.0, "busy": 2.0}
    idle = BLANK | {"launch": 1.0}
    assert activity([(compute, 3)]) == pytest.approx(1.0)
    assert activity([(idle, 1)]) < activity([(memory, 1)]) < activity([(compute, 1)])
    assert activity([]) == 0.0


@given(st.floats(0, 1), st.integers(1, 64), st.floats(1e-3, 1.0), st.integers(1, 512))
def test_energy_lies_between_idle_and_the_power_limit(
    share: float, devices: int, tpot: float, batch: int
) -> None:
    found = energy(H100, activity_share=share, devices=devices, tokens_per_second=batch / tpot)
    assert found is not None
    assert H100.power_watts is not None
    limit = H100.power_watts.value
    assert 0.1 * limit < found.watts <= limit * (1 + 1e-12)
    assert found.joules_per_token == pytest.approx(devices * found.watts * tpot / batch)
    assert found.low < found.joules_per_token < found.high


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(InputError, match="activity"):
        energy(H100, activity_share=1.5, devices=1, tokens_per_second=100.0)
    with pytest.raises(InputError, match="requests a second"):
        replicas_for(0.0, 100, 100.0)


def test_money_by_hand() -> None:
    # 8 devices at 2 USD an hour, 64 tokens every 20 ms: 11.52 million tokens an hour for 16 USD.
    assert usd_per_million_tokens(2.0, 8, 64 / 0.02) == pytest.approx(16 / 11.52)


@given(st.floats(0.01, 1000), st.integers(1, 4096), st.floats(1e-3, 0.5), st.integers(1, 512))
def test_replicas_carry_the_rate_and_one_fewer_does_not(
    rate: float, osl: int, tpot: float, batch: int
) -> None:
    count, each = replicas_for(rate, osl, batch / tpot)
    assert count * each >= rate * (1 - 1e-6)
    assert count == 1 or (count - 1) * each < rate
