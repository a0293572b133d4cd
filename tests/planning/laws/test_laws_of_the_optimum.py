"""Laws of an optimum, over random questions: small models, every objective, limits and engines."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, seed, settings
from support.answers import NotAskedError
from support.examples import examples, thorough
from support.optimum_laws import LAWS
from support.random_questions import Case, questions

Test = Callable[..., Any]


def alike(test: Test) -> Test:
    """The same questions for every law, which share their answers; in `make exhaustive`, new
    ones."""
    return test if thorough() else seed(16)(test)


@pytest.mark.parametrize("law", LAWS)
@alike
@settings(max_examples=examples(4, 500))
@given(case=questions())
def test_an_optimum_keeps(law: str, case: Case) -> None:
    try:
        broken = LAWS[law](case)
    except NotAskedError:
        assume(False)
    assert not broken, "\n".join(broken)
