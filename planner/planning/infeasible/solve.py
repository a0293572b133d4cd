"""The best answer of a question, or the refusal that says why it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.hardware.catalog import list_devices
from planner.planning.choose.decision import PlanDecision, decide
from planner.planning.infeasible.case import Unserved
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.candidates import Space


def solve_or_refuse(
    questions: Sequence[Question], unserved: Callable[[], Unserved], *, exact: bool = False
) -> tuple[SearchResult, Sequence[Space]]:
    """(the best answer of all ways to serve, the first of equals; the other ways' candidates);
    ``unserved`` is the question again, for the reason why there is none.

    Raises:
        InfeasibleError: none has an answer.
    """
    result, others, _ = solve_with_relaxations(questions, exact=exact)
    if result is None:
        raise _refusal(unserved())
    return result, others


def decide_or_refuse(
    questions: Sequence[Question], unserved: Callable[[], Unserved], *, exact: bool = False
) -> PlanDecision:
    """The plan to take; ``unserved`` as in :func:`solve_or_refuse`.

    Raises:
        InfeasibleError: none keeps the limits.
    """
    decision = decide(questions, exact=exact)
    if decision is None:
        raise _refusal(unserved())
    return decision


def _refusal(case: Unserved) -> Exception:
    from planner.planning.infeasible.diagnose import no_plan_error
    from planner.planning.infeasible.host_memory import host_memory_refusal

    return host_memory_refusal(case) or no_plan_error(case, list_devices)
