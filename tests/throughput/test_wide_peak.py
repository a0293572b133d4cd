"""The peak of 16-bit products, stated or half of the highest."""

import pytest

from planner.throughput.silicon import Chip


@pytest.mark.parametrize(
    ("peaks", "wide"),
    [
        ({"bf16": 5.0, "fp16": 6.0, "e4m3": 20.0}, 5.0),
        ({"fp16": 6.0, "e4m3": 20.0}, 6.0),
        ({"e4m3": 20.0, "int8": 16.0}, 10.0),
        ({}, 0.0),
    ],
)
def test_it_is_half_of_the_highest_where_none_is_stated(
    peaks: dict[str, float], wide: float
) -> None:
    assert Chip("one", peaks, 1.0, 1.0, 1.0, 1.0, 0.0).wide_peak == wide
