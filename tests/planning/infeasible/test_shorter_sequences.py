"""How short a sequence may become, by the flag that was given."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.infeasible.nearest_changes import SHORTEST, ShorterSequences


def shortened(isl: int, context: int, /, **given: int) -> dict[str, int]:
    """The flags of the shortest sequence that is tried in place of one of these lengths."""
    case: Any = SimpleNamespace(
        given=given,
        typed=given,
        first=SimpleNamespace(workload=SimpleNamespace(isl=isl, context=context)),
    )
    return dict(ShorterSequences(case).loosest)


@pytest.mark.parametrize("times", [2, 10, 1000])
def test_a_part_in_so_many_of_what_was_given(times: int) -> None:
    asked = SHORTEST * times
    assert shortened(asked, 2 * asked, isl=asked) == {"isl": times}
    assert shortened(asked // 2, asked, context=asked) == {"context": times}
    assert shortened(asked // 2, asked) == {"context": times}


def test_the_answer_that_was_given_and_one_token_of_a_prompt_stay() -> None:
    assert shortened(700, 800, context=800, osl=100) == {"context": 101}
    assert shortened(700, 800, context=8000, isl=700, osl=100) == {"context": 101, "isl": 1}
    assert shortened(19, 20, context=20) == {"context": 2}
    assert shortened(20, 23, isl=20) == {"isl": 2}


def test_no_longer_than_what_was_asked_for() -> None:
    assert shortened(1, 1, isl=1) == {"isl": 1}
    assert shortened(4, 100, context=100, osl=100) == {"context": 100}
