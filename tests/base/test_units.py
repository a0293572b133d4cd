"""Numbers as people see them, at the edges where rounding reaches the next unit."""

import pytest

from planner.base.units import format_rate, format_seconds, format_three


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (9.996e-4, "1 ms"),
        (1234.0, "1,234 s"),
        (0.0142, "14.2 ms"),
        (3e-10, "3e-10 s"),
    ],
)
def test_a_duration_has_the_unit_that_it_rounds_to(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "short", "full"),
    [
        (999.4, "999", "999"),
        (999.6, "1,000", "1,000"),
        (0.5, "0.5", "0.500"),
        (0.0, "0", "0"),
        (-999.7, "-1,000", "-1,000"),
        (12.0, "12", "12.0"),
    ],
)
def test_no_rate_is_told_as_a_power_of_ten(value: float, short: str, full: str) -> None:
    assert (format_rate(value), format_three(value)) == (short, full)
