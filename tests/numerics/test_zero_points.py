"""Codes with zero points use the whole two's complement range."""

from planner.formats.elements import element
from planner.numerics.integers import bounds


def test_bounds_are_twos_complement() -> None:
    assert bounds(element("int8")) == (-128, 127)
    assert bounds(element("int4")) == (-8, 7)
