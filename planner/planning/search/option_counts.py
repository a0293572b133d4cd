"""An assignment that was placed, not searched, as the solver would tell it: options counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import OPTIMAL, Solution, objective_of
from planner.planning.space.assignment import Segment

Int = NDArray[np.int64]
OUTSIDE = (-1,)
"""The place of a module outside the stack, where layers are numbers."""


def with_counts(result: SearchResult) -> SearchResult:
    """``result`` with the options that its segments count, and the objective that they sum to,
    under a question in which its layers may differ where they do.

    Raises:
        InputError: a choice is not legal there, or one kernel would get two.
    """
    if result.solution.counts.size:
        return result
    model = result.space.model
    space = with_question(
        result.space, untie=model.question.untie or layers_differ(result.segments)
    )
    candidate = candidate_problem(space, result.candidate)
    counts = option_counts(candidate, result.segments)
    value = objective_of(candidate.problem, counts)
    return replace(result, space=space, solution=Solution(OPTIMAL, counts, value, value, 0.0))


def layers_differ(segments: Sequence[Segment]) -> bool:
    """Whether layers that a tied plan decides together take different choices."""
    taken: dict[int, set[int]] = {}
    for segment in segments:
        if segment.choice >= 0:
            taken.setdefault(segment.unit, set()).add(segment.choice)
    return any(len(choices) > 1 for choices in taken.values())


def option_counts(candidate: CandidateProblem, segments: Sequence[Segment]) -> Int:
    """The assignment as counts [D, O].

    Raises:
        InputError: a choice is not legal on the layout, or one kernel would get two.
    """
    model, problem = candidate.space.model, candidate.problem
    decided = model.decided
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    choice = {(s.unit, n): s.choice for s in segments for n in s.layers or OUTSIDE}
    rows = (
        {
            p.decision: (decided.kernels[p.kernel].decision, p.layers or OUTSIDE)
            for p in candidate.parts
        }
        if candidate.parts
        else {
            k.decision: (k.decision, k.layers[:1] or OUTSIDE)
            for k in decided.kernels
            if k.decision >= 0
        }
    )
    for row, (number, layers) in rows.items():
        units = decided.decisions[number].units
        for layer in layers:
            option = decided.option(number, tuple(choice[unit, layer] for unit in units))
            if option is None:
                raise InputError(
                    f"plan file: {model.units[units[-1]].kind} differs from what one "
                    "kernel computes with it",
                    hint="give both the same scheme",
                )
            counts[row, option] += 1
        if (counts[row][~problem.legal[row]] > 0).any():
            raise InputError(
                f"plan file: {model.units[units[0]].id}: a choice is not legal on this layout",
                hint="see `plan estimate --plan FILE`",
            )
    return counts
