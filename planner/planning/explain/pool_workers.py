"""The workers of a plan in pools as a search would have found them: every other choice beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.planning.explain.given_plan import given_found, way_of
from planner.planning.inspect.assignment import plan_segments
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.pool_sides import decode_side, prefill_side
from planner.planning.plan.record import Plan
from planner.planning.pools.candidates import served_by
from planner.planning.pools.given import decoding_workers, reading_workers
from planner.planning.pools.workers import Assigned, DecodingWorkers, ReadingWorkers
from planner.planning.question.question import Question
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior


def workers_of(
    plan: Plan,
    prefill: Sequence[Question],
    decode: Sequence[Question],
) -> tuple[ReadingWorkers, DecodingWorkers]:
    """The prefill and the decode workers of ``plan`` among the choices of the ways to serve each.

    Raises:
        InputError: the plan's units are not those of the model, or a choice is not possible.
        InfeasibleError: a worker does not fit.
    """
    pools = plan.deployment
    assert pools is not None
    found, _ = given_found(decode, decode_side(plan))
    decoding = decoding_workers(found, pools.kv, exactly=False)
    return _reading(plan, pools, prefill), DecodingWorkers(
        decoding.pool, 0, decoding.seconds, _with_cache(decoding.found, pools.kv)
    )


def _reading(plan: Plan, pools: DeploymentInfo, ways: Sequence[Question]) -> ReadingWorkers:
    side = prefill_side(plan, pools)
    la = side.layout
    question = replace(
        way_of(ways, side),
        sizes=(side.device.count,),
        devices_given=True,
        batch=side.workload.batch,
        fixed={"tp": la.tp, "dp": la.dp, "pp": la.pp, "ep": la.ep},
    )
    model = build_model(question, load_prior())
    found = reading_workers(model, plan_segments(model, side), pools.kv)
    return ReadingWorkers(found.pool, 0, found.seconds, _with_cache(found.found, pools.kv))


def _with_cache(one: Assigned | None, kv: str) -> Assigned:
    """A worker beside the choices that keep the cache, which the other pool has as well."""
    assert one is not None
    return replace(one, space=served_by(one.space, None, kv))
