"""What is measured next is named by the format that was chosen, or by that of the release."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.answer.next_measurements import _scheme


@pytest.mark.parametrize(("choice", "name"), [(0, "fp8-block"), (1, "int4-w4a16"), (-1, "bf16")])
def test_the_first_format_is_a_choice_too(choice: int, name: str) -> None:
    model = SimpleNamespace(
        units=(SimpleNamespace(row=0),),
        choices=("fp8-block", "int4-w4a16"),
        released=(SimpleNamespace(dtype="bf16"),),
    )
    option: Any = SimpleNamespace(space=SimpleNamespace(model=model))
    cost: Any = SimpleNamespace(segment=SimpleNamespace(unit=0, choice=choice))
    assert _scheme(option, cost) == name
