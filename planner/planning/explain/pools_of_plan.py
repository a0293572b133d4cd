"""A plan of two pools explained: behind :func:`planner.explain` where the plan has pools."""

from __future__ import annotations

from dataclasses import replace

from planner.lookup import load_device
from planner.planning.explain.choice import filled_from_plan, inputs_of_plan
from planner.planning.explain.given_plan import workers_of
from planner.planning.explain.pools import PoolQuestions, explain_pool_workers
from planner.planning.explain.records import PoolsExplanation
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Plan
from planner.planning.pools.cases import loss_limit_of
from planner.planning.pools.handover import handover
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_link import link_between
from planner.planning.question.question import Question

GIVEN_LINK = "given"


def explain_pools(inputs: QuestionInput, plan: Plan) -> PoolsExplanation:
    """Both pools of ``plan``, explained where it was made.

    Raises:
        InputError, DataError: the plan file is of another model, or needs its quality profile.
    """
    pools = plan.deployment
    assert pools is not None
    inputs, given_values = inputs_of_plan(inputs, plan), filled_from_plan(inputs.given_values, plan)
    decode = _decode_ways(inputs, given_values, plan)
    prefill = _prefill_ways(inputs, given_values, pools, decode)
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
        stages=(reading.pp, decoding.pp),
    )
    return explain_pool_workers(plan, PoolQuestions(prefill, decode, link), reading, decoding, over)


def _decode_ways(
    inputs: QuestionInput, given_values: GivenValues, plan: Plan
) -> tuple[Question, ...]:
    """The ways to serve on the plan's engine; without the default limit on TPOT where the plan did
    not keep it."""
    ways = tuple(q for q in inputs.questions(given_values) if q.engine == plan.engine.name)
    limit = ways[0].tpot_seconds
    if (
        ways[0].tpot_default
        and limit is not None
        and plan.performance.tpot_seconds.value > limit * (1 + 1e-6)
    ):
        return tuple(replace(q, tpot_seconds=None, tpot_default=False) for q in ways)
    return ways


def _prefill_ways(
    inputs: QuestionInput,
    given_values: GivenValues,
    pools: DeploymentInfo,
    decode: tuple[Question, ...],
) -> tuple[Question, ...]:
    """Those of the prefill devices, held to the limit on loss of the others."""
    if pools.prefill.device == decode[0].device.id:
        return decode
    device = load_device(pools.prefill.device, hardware_dir=inputs.hardware_dir)
    limit = loss_limit_of(decode)
    return tuple(
        replace(q, loss_scheme=None, loss_limit=limit)
        for q in replace(inputs, device=device).questions(given_values)
        if q.engine == decode[0].engine
    )
