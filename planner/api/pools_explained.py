"""A plan of two pools explained: behind :func:`planner.explain` where the plan has pools."""

from __future__ import annotations

from dataclasses import replace

from planner.api.ask import Ask
from planner.api.choice import filled, of_plan
from planner.lookup import load_device
from planner.planning.explain.given_plan import workers_of
from planner.planning.explain.pools import PoolQuestions, explained_pools
from planner.planning.explain.records import PoolsExplanation
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Plan
from planner.planning.pools.cases import loss_limit_of
from planner.planning.pools.handover import handover, link_between
from planner.planning.question.asked import Asked
from planner.planning.question.question import Question

GIVEN_LINK = "given"


def explain_pools(ask: Ask, plan: Plan) -> PoolsExplanation:
    """Both pools of ``plan``, explained where it was made.

    Raises:
        InputError, DataError: the plan file is of another model, or needs its quality profile.
    """
    pools = plan.deployment
    assert pools is not None
    ask, asked = of_plan(ask, plan), filled(ask.asked, plan)
    decode = _decode_ways(ask, asked, plan)
    prefill = _prefill_ways(ask, asked, pools, decode)
    link = link_between(
        prefill[0],
        decode[0],
        pools.transfer.bytes_per_second if pools.transfer.link == GIVEN_LINK else None,
    )
    reading, decoding = workers_of(plan, prefill, decode)
    over = handover(
        decode[0],
        pools.kv,
        (reading.tp, decoding.tp),
        link,
        indexer_fp8=decoding.pool.space.model.indexer_fp8,
    )
    return explained_pools(plan, PoolQuestions(prefill, decode, link), reading, decoding, over)


def _decode_ways(ask: Ask, asked: Asked, plan: Plan) -> tuple[Question, ...]:
    """The ways to serve on the plan's engine; without the default limit on TPOT where the plan did
    not keep it."""
    ways = tuple(q for q in ask.questions(asked) if q.engine == plan.engine.name)
    limit = ways[0].tpot_seconds
    if (
        ways[0].tpot_default
        and limit is not None
        and plan.performance.tpot_seconds.value > limit * (1 + 1e-6)
    ):
        return tuple(replace(q, tpot_seconds=None, tpot_default=False) for q in ways)
    return ways


def _prefill_ways(
    ask: Ask,
    asked: Asked,
    pools: DeploymentInfo,
    decode: tuple[Question, ...],
) -> tuple[Question, ...]:
    """Those of the prefill devices, held to the limit on loss of the others."""
    if pools.prefill.device == decode[0].device.id:
        return decode
    device = load_device(pools.prefill.device, hardware_dir=ask.hardware_dir)
    limit = loss_limit_of(decode)
    return tuple(
        replace(q, loss_scheme=None, loss_limit=limit)
        for q in replace(ask, device=device).questions(asked)
        if q.engine == decode[0].engine
    )
