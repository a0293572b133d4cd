"""What prices without choosing: one scheme everywhere, or the units of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.planning.choose.uncertainty import served_score
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import solve_or_refuse
from planner.planning.inspect.assignment import given_assignment
from planner.planning.plan.record import Plan
from planner.planning.question.engine_choice import NamedByUser, ways_to_serve
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.offload import given_offload
from planner.planning.question.question import TIMED, Question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior


def price_uniform(inputs: QuestionInput, scheme: str | None) -> SearchResult:
    """One scheme everywhere, as released where none is named, on the best layout and batch.

    Raises:
        InfeasibleError: it does not fit. UnsupportedError: device or engine cannot.
    """

    def ways(inputs: QuestionInput, given_values: GivenValues) -> tuple[Question, ...]:
        name = inputs.scheme if inputs.scheme is not None else scheme
        if name is None and inputs.release is not None:
            name = inputs.release.by_kind(inputs.subject[0])
        return inputs.ways(given_values, uniform=name or "")

    questions = ways(inputs, inputs.given_values)
    best = best_engine(questions)
    if best is not None:
        return best
    return solve_or_refuse(questions, lambda: unserved_case(inputs, ways, complete=False))[0]


def best_engine(questions: Sequence[Question]) -> SearchResult | None:
    """The best of several engines as each serves its requests, the first of equals; None of one
    engine alone, and where none has an answer."""
    engines = dict.fromkeys((q.engine, q.engine_version) for q in questions)
    if len(engines) < 2:
        return None
    best: tuple[tuple[bool, float], SearchResult] | None = None
    for engine in engines:
        own = tuple(q for q in questions if (q.engine, q.engine_version) == engine)
        result, _, answered = solve_with_relaxations(own)
        if result is None:
            continue
        value = served_score(result.space, result.candidate, result.segments)
        key = answered[0].tpot_default != own[0].tpot_default, float(f"{value:.9e}")
        if best is None or key < best[0]:
            best = key, result
    return None if best is None else best[1]


def price_plan(inputs: QuestionInput, plan: Plan) -> SearchResult:
    """The units of ``plan``, on its own layout, batch and workload where none is given.

    Raises:
        InputError: it is of another model. UnsupportedError: device or engine cannot.
    """
    refuse_pools(plan, "priced by one pool")
    inputs, given_values = inputs.with_names_of(plan), inputs.given_values.filled_from(plan)
    if plan.offload is not None and given_values.host is None:
        given_values = replace(
            given_values,
            host=plan.offload.host,
            host_sockets=plan.offload.sockets,
            host_memory_bytes=plan.offload.memory_bytes,
        )
    ways = ways_to_serve(
        lambda engine: inputs.question(given_values, engine=engine, given=plan),
        inputs.requested_engine,
        NamedByUser(in_one_mode=True, each_container=True),
    )
    results = [
        given_assignment(build_model(given_offload(question, plan), load_prior()), plan)
        for question in inputs.drafting_as(plan).with_drafts(ways)
    ]
    if len(results) == 1 or results[0].space.model.question.objective not in TIMED:
        return results[0]
    # A plan is made in the container that serves it best: their kernels differ.
    return min(results, key=lambda r: served_score(r.space, r.candidate, r.segments))


def refuse_pools(plan: Plan, done: str) -> None:
    """Refuse a plan of two pools where its units stand for a whole deployment.

    Raises:
        UnsupportedError: it has pools.
    """
    if plan.deployment is not None:
        raise UnsupportedError(
            f"the plan has pools of prefill and decode workers, and is not {done}",
            hint="make the plan with --mode aggregated",
        )
