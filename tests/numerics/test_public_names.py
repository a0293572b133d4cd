"""Every name that ``planner.numerics`` offers is found where it says that it lives."""

import pytest

from planner import numerics


@pytest.mark.parametrize("name", numerics.__all__)
def test_a_public_name_is_found(name: str) -> None:
    assert getattr(numerics, name).__name__ == name


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = numerics.nothing
