"""A plan file's assignment as the answer of a question, so that its choices can be explained: of a
plan in pools that of its prefill and decode workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InputError
from planner.formats.kv import KV_LAYOUTS
from planner.planning.infeasible.binding_limit import not_placed
from planner.planning.inspect.assignment import plan_segments
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.pool_sides import decode_side, prefill_side
from planner.planning.plan.record import Plan
from planner.planning.pools.candidates import allowed_for
from planner.planning.pools.given_pools import given_decode_workers, given_prefill_workers
from planner.planning.pools.workers import DecodeWorkers, PrefillWorkers, WorkerAssignment
from planner.planning.question.question import Question
from planner.planning.question.resolve import MAX_COUNT
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import keeps_ttft
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.option_counts import layers_differ, option_counts
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.solver.problem import Solution, objective_of, violation
from planner.planning.space.candidates import build_space, possible_layouts
from planner.planning.space.memory import stage_table
from planner.planning.space.model import build_model
from planner.planning.space.tables import layout_tables
from planner.quality.prior import load_prior


def plan_as_answer(questions: Sequence[Question], plan: Plan) -> tuple[SearchResult, str]:
    """(``plan`` on its own layout and batch, the first limit that it breaks or nothing).

    Raises:
        InputError: the plan's units are not those of the model, or a choice is not possible.
    """
    question = closest_question(questions, plan)
    layout = plan.layout
    if not 1 <= plan.workload.batch <= MAX_COUNT:
        raise InputError(
            f"plan file: batch {plan.workload.batch} is out of range",
            hint=f"a whole number from 1 to {MAX_COUNT}",
        )
    on_layout = replace(
        question,
        sizes=(plan.device.count,),
        devices_given=True,
        fixed={"tp": layout.tp, "dp": layout.dp, "pp": layout.pp, "ep": layout.ep},
    )
    pinned = replace(on_layout, batch=plan.workload.batch)
    layouts = possible_layouts(pinned)
    model = build_model(pinned, load_prior())
    each, rest = divmod(plan.workload.batch, layout.dp * layout.pp)
    if not layouts or rest or not each:
        raise not_placed([pinned])
    searched = grid_space(build_model(on_layout, load_prior()))
    paces = None if searched is None else searched.tables.paces
    tables = replace(layout_tables(model, layouts[:1]), paces=paces)
    space = build_space(model, tables, stage_table(model, tables), [(0, each)])
    segments = plan_segments(model, plan)
    space = with_question(
        space,
        sizes=question.sizes,
        devices_given=question.devices_given,
        batch=question.batch,
        fixed=question.fixed,
        untie=question.untie or layers_differ(segments),
    )
    problem = candidate_problem(space, 0)
    counts = option_counts(problem, segments)
    value = objective_of(problem.problem, counts)
    row = violation(problem.problem, counts)
    broken = row.name if row is not None else "" if keeps_ttft(problem, counts) else "ttft"
    solution = Solution("optimal", counts, value, value, 0.0)
    return (SearchResult(space, 0, solution, segments, value, 1, 0, space), broken)


def closest_question(questions: Sequence[Question], plan: Plan) -> Question:
    """The question that has the most of the plan's choices, with those that it lacks."""
    used = {u.kv_layout or u.scheme for u in plan.units}
    best = max(questions, key=lambda q: len(used & {*q.schemes, *q.kv}))
    return replace(best, kv=tuple(k for k in KV_LAYOUTS if k in best.kv or k in used))


def workers_of(
    plan: Plan,
    prefill: Sequence[Question],
    decode: Sequence[Question],
) -> tuple[PrefillWorkers, DecodeWorkers]:
    """The prefill and the decode workers of ``plan`` among the choices of the ways to serve each.

    Raises:
        InputError: the plan's units are not those of the model, or a choice is not possible.
        InfeasibleError: a worker does not fit.
    """
    pools = plan.deployment
    assert pools is not None
    result, _ = plan_as_answer(decode, decode_side(plan))
    decoding = given_decode_workers(result, pools.kv, exactly=False)
    return _reading(plan, pools, prefill), DecodeWorkers(
        decoding.pool, 0, decoding.seconds, _with_cache(decoding.assignment, pools.kv)
    )


def _reading(plan: Plan, pools: DeploymentInfo, ways: Sequence[Question]) -> PrefillWorkers:
    side = prefill_side(plan, pools)
    la = side.layout
    question = replace(
        closest_question(ways, side),
        sizes=(side.device.count,),
        devices_given=True,
        batch=side.workload.batch,
        fixed={"tp": la.tp, "dp": la.dp, "pp": la.pp, "ep": la.ep},
    )
    model = build_model(question, load_prior())
    worker = given_prefill_workers(model, plan_segments(model, side), pools.kv)
    return PrefillWorkers(worker.pool, 0, worker.seconds, _with_cache(worker.assignment, pools.kv))


def _with_cache(worker: WorkerAssignment | None, kv: str) -> WorkerAssignment:
    """A worker beside the choices that keep the cache, which the other pool has as well."""
    assert worker is not None
    return replace(worker, space=allowed_for(worker.space, None, kv))
