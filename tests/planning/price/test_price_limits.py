"""Which limit marks an estimate, and from where on."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.questions import question_of

from planner.base.errors import InputError
from planner.planning.price import estimates
from planner.planning.price.estimates import E2E, MEMORY, TPOT, TTFT


def test_limits_mark_what_is_beyond_them_the_first_one_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hair over a limit is over it, what equals it is within."""
    monkeypatch.setattr(estimates, "budget", lambda _: 100)
    question = replace(
        question_of(isl=100, osl=11), ttft_seconds=2.0, tpot_seconds=0.1, e2e_seconds=2.9
    )
    prices: Any = SimpleNamespace(
        ttft=np.array([1.9, 2.001, 1.0, 3.9, 9.0, 0.0, 1.901, 0.0]),
        tpot=np.array([0.1, 0.1, 0.101, 0.19, 0.0, 0.0, 0.1, 0.0]),
    )
    held = np.array([[60, 60, 60, 60, 60, 60, 60], [40, 40, 40, 40, 41, 40, 40]])
    reason = np.zeros(8, dtype=np.int8)
    where = np.array([0, 1, 2, 3, 4, 7, 6])
    model: Any = SimpleNamespace(question=question)
    estimates._limits(reason, where, model, prices, held)
    assert reason.tolist() == [0, TTFT, TPOT, TTFT, MEMORY, 0, E2E, 0]


@pytest.mark.parametrize(
    ("possible", "found"), [([[0, 1, 0], [1, 0, 0]], (1, 0, -1)), ([[0, 1, 0], [0, 0, 0]], None)]
)
def test_an_assignment_without_a_choice_left_is_its_only_one(
    possible: list[list[int]], found: Any
) -> None:
    assert estimates.only_choice(_model(possible)) == found


@pytest.mark.parametrize("possible", [[[0, 1, 1], [1, 0, 0]], [[1, 0, 0], [1, 1, 1]]])
def test_two_choices_are_one_too_many(possible: list[list[int]]) -> None:
    with pytest.raises(InputError, match="may take"):
        estimates.only_choice(_model(possible))


def _model(possible: list[list[int]]) -> Any:
    """Two units that are decided and one as released."""
    units = [SimpleNamespace(decision=i, id=f"u{i}") for i in (0, 1, -1)]
    return SimpleNamespace(
        units=units, possible=np.array([*possible, [1, 1, 1]], dtype=bool), choices=("a", "b", "c")
    )
