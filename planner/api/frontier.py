"""``planner.frontier``: loss against throughput against memory, and the map of regimes."""

from __future__ import annotations

from planner.planning.question.input import QuestionInput
from planner.planning.question.verbs import FrontierInput, verb
from planner.planning.what_if.frontier import Frontier
from planner.planning.what_if.frontier_search import trace_frontier


@verb(FrontierInput)
def frontier(given: FrontierInput) -> Frontier:
    """The plans that no other equals or beats in loss, throughput and memory.

    ``points`` budgets of loss and memory are tried; equal and dominated answers are left out.
    ``map`` adds the best plan at every context and batch, under the default limit on loss. With
    ``engine="auto"`` all are of the engine that the plan takes; no default limit on time holds.

    Raises:
        InfeasibleError: nothing fits.
        InputError: a value out of range.
    """
    inputs = QuestionInput.of_verb(given)
    return trace_frontier(inputs, points=given.points, mapped=given.map)
