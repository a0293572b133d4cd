"""Plans whose losses cannot be told apart: the fastest of them is taken.

Under ``--objective quality`` the least loss L is found first. A plan within the band of L (up to
L × its factor, :func:`planner.quality.loss_units.indistinguishable`) is as good as it, so that
paying speed for the difference buys nothing known. Of these the fastest sets the pace, and the
least lossy within SLACK of that pace is taken: no loss is given away for less than SLACK of speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.messages.message import Note, message
from planner.planning.plan.notes import written
from planner.planning.plan.record import Assumption
from planner.planning.price.price import price
from planner.planning.question.question import Question
from planner.planning.search.best_first import SearchResult
from planner.planning.search.contenders import solve_groups
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import loss_limit, score_scale
from planner.planning.search.posed import candidate_problem
from planner.planning.search.spaces import with_question
from planner.planning.search.variants import solve_questions
from planner.planning.solver.problem import Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, loss_word, saturated_loss

SLACK = 0.01
"""Share of the fastest pace that is given up for less loss."""


def best_result(questions: Sequence[Question]) -> SearchResult | None:
    """The best answer; under the objective quality, the one to take of those that are as good."""
    return solve_objective(questions)[0]


def solve_objective(questions: Sequence[Question]) -> tuple[SearchResult | None, Sequence[Space]]:
    """(the answer to take, the candidates of the questions with other choices that its engine may
    serve as well)."""
    best, others = solve_groups(questions)
    if best is None:
        return None, ()
    if best.space.model.question.objective == "quality":
        best = _taken(questions, best)
    return best, others


def _taken(questions: Sequence[Question], least: SearchResult) -> SearchResult:
    """The plan to take in place of the ``least`` lossy one; its bound is that of the least loss."""
    limit = loss_limit(least.space.model)
    most = least.value * band_factor(least.space.model)
    within = most if limit is None else min(limit, most)
    fastest = solve_questions(
        [replace(q, objective="throughput", loss_scheme=None, loss_limit=within) for q in questions]
    )
    if fastest is None or fastest.value * (1 + SLACK) >= device_seconds(least):
        return least
    solution, segments = _least_lossy(fastest, questions[0], within)
    if not solution.has_assignment:
        return least
    return SearchResult(
        _back(fastest.space, questions[0]),
        fastest.candidate,
        solution,
        segments,
        min(least.bound, solution.value),
        least.candidates + fastest.candidates,
        least.solved + fastest.solved,
        _back(fastest.grid, questions[0]),
    )


def _back(space: Space, first: Question) -> Space:
    """The space under what was asked."""
    return with_question(
        space, objective="quality", loss_scheme=first.loss_scheme, loss_limit=first.loss_limit
    )


def _least_lossy(
    fastest: SearchResult,
    first: Question,
    within: float,
) -> tuple[Solution, tuple[Segment, ...]]:
    """The least loss on the fastest plan's candidate within SLACK of its pace."""
    seconds = fastest.value * (1 + SLACK) / float(score_scale(fastest.space)[fastest.candidate])
    limit = first.tpot_seconds
    space = with_question(
        _back(fastest.space, first),
        loss_scheme=None,
        loss_limit=within,
        tpot_seconds=seconds if limit is None else min(seconds, limit),
    )
    one = candidate_problem(space, fastest.candidate)
    solution = solve_with_ttft(one)
    return solution, one.segments(solution) if solution.has_assignment else ()


def device_seconds(found: SearchResult) -> float:
    """Device-seconds of a token."""
    space, c = found.space, found.candidate
    priced = price(space, c, found.segments)
    return priced.tpot * float(space.pts.group[c] * space.pts.pp[c] / space.pts.batch[c])


def equal_note(found: SearchResult) -> tuple[Assumption, ...]:
    """What was given up among plans that are as good; nothing where the least loss was taken."""
    model = found.space.model
    if model.question.objective != "quality" or found.value <= found.bound * (1 + 1e-6) + 1e-15:
        return ()
    return (
        written(
            Note(
                "indistinguishable",
                message(
                    "assumptions.loss_for_at_least",
                    a=f"{saturated_loss(model, found.value):.3g}",
                    b=f"{saturated_loss(model, found.bound):.3g}",
                ),
                message(
                    "assumptions.inside_band_where_plans_are",
                    x=f"{band_factor(model):.3g}",
                    w=loss_word(model),
                    y=f"{SLACK:.0%}",
                ),
            )
        ),
    )
