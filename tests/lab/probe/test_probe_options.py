"""What may be asked of how inputs are scaled."""

from __future__ import annotations

import pytest

from planner.base.errors import InputError
from planner.lab.probe.options import InputOptions


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_a_strength_is_a_share(strength: float) -> None:
    assert InputOptions(smoothquant=strength).changes("int8-w8a8")


@pytest.mark.parametrize("strength", [-0.01, 1.01, 2.0])
def test_more_than_all_or_less_than_nothing_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match="smoothquant"):
        InputOptions(smoothquant=strength)
