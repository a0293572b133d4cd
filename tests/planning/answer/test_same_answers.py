"""The same question has the same answer, to the last byte, however the solver came to it."""

from collections.abc import Iterator

import highspy
import pytest
from support.questions import QUESTIONS, digest

from planner.planning.solver import highs, solve

NUMBERS = range(len(QUESTIONS))
PERTURBED = ({"random_seed": 1, "threads": 2}, {"random_seed": 20261126, "threads": 1})


@pytest.fixture(autouse=True)
def _scheduler() -> Iterator[None]:
    """The number of threads is that of the process: tests after this one start anew."""
    yield
    highspy.Highs.resetGlobalScheduler(True)


@pytest.fixture(scope="module")
def known() -> dict[int, str]:
    """Hashes as the solver gives them by its own options, filled as they are asked for."""
    return {}


@pytest.mark.parametrize("number", NUMBERS)
def test_seeds_and_threads_of_the_solver_do_not_matter(
        number: int, known: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    known[number] = digest(number)
    for options in PERTURBED:
        for name, value in options.items():
            monkeypatch.setitem(highs.OPTIONS, name, value)
        highspy.Highs.resetGlobalScheduler(True)
        assert digest(number) == known[number], options


@pytest.mark.parametrize("number", NUMBERS)
def test_with_the_listing_off_highs_comes_to_the_same_answer(
        number: int, known: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = known.get(number) or digest(number)
    asked: list[bool] = []
    monkeypatch.setattr(solve, "listed", lambda problem, cutoff: asked.append(True))
    assert digest(number) == wanted
    assert asked or QUESTIONS[number][2].get("untie")
