"""``planner.frontier``: loss against throughput against memory, and the map of regimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InputError
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.diagnose import no_plan_error
from planner.planning.infeasible.solve import solve_or_refuse
from planner.planning.question.engine_choice import AUTO_ENGINE
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.requery import GAP
from planner.planning.space.model import build_model
from planner.planning.what_if.frontier import Frontier, frontier_points
from planner.planning.what_if.regimes import phase_map
from planner.quality.prior import load_prior


def trace_frontier(inputs: QuestionInput, *, points: int, mapped: bool) -> Frontier:
    """The frontier of a question, with the map where it is asked for.

    Raises:
        InputError: a map of one batch. InfeasibleError: no plan.
    """
    if mapped and (inputs.batch is not None or inputs.concurrency is not None):
        given = "batch" if inputs.batch is not None else "concurrency"
        raise InputError("the map varies the batch", hint=f"leave out --{given} or --map")
    inputs = _on_one_engine(inputs)

    def ways(inputs: QuestionInput, given_values: GivenValues) -> list[Question]:
        return _unlimited(inputs.ways(given_values, defaults=False))

    questions = inputs.ways(defaults=False)
    question = questions[0]
    models = [build_model(q, load_prior()) for q in ways(inputs, inputs.given_values)]
    traced = frontier_points(models, points)
    if not traced:
        raise no_plan_error(unserved_case(inputs, ways))
    return Frontier(
        question.spec.id,
        question.device.id,
        question.workload.context,
        "nats" if question.profile is None else question.profile.unit,
        GAP,
        traced,
        phase_map(question) if mapped else None,
        " ".join(filter(None, (question.engine, question.engine_version))),
    )


def _on_one_engine(inputs: QuestionInput) -> QuestionInput:
    """The question to one engine: where none is named, the one that the plan takes, else the one
    that is fastest without a limit on loss.

    Raises:
        InfeasibleError: nothing fits.
    """
    if inputs.requested_engine != AUTO_ENGINE:
        return inputs
    questions = inputs.ways()
    result = (
        solve_with_relaxations(questions)[0]
        or solve_or_refuse(_unlimited(questions), lambda: unserved_case(inputs))[0]
    )
    question = result.space.model.question
    return replace(
        inputs, engine="@".join(filter(None, (question.engine, question.engine_version)))
    )


def _unlimited(questions: Sequence[Question]) -> list[Question]:
    """The questions for throughput, without a limit on loss."""
    return [
        replace(q, objective="throughput", loss_scheme=None, loss_limit=None) for q in questions
    ]
