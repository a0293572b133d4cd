"""From a plan, no change of a choice or two, of the batch or of the layout is better in full."""

import pytest
from support.examples import thorough
from support.hill_climbing import QUESTIONS, climbed

QUICK = 3


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name",
    [
        name if i < QUICK else pytest.param(name, marks=pytest.mark.exhaustive)
        for i, name in enumerate(QUESTIONS)
    ],
)
def test_nothing_near_a_plan_is_better(name: str) -> None:
    found = (
        climbed(QUESTIONS[name], pairs=300, restarts=3)
        if thorough()
        else climbed(QUESTIONS[name], pairs=30, restarts=1)
    )
    assert found.prices > 100
    assert found.beyond == 0, f"{found.better:.3%} better: {found.moves}"
