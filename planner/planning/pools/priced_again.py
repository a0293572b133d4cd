"""A plan file of two pools priced again: both pools, on their own layouts, in their formats."""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.planning.answer.modes import no_pools
from planner.planning.engines.pool_rules import stages_refusal
from planner.planning.inspect.assignment import given_assignment, plan_segments
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.pool_sides import decode_side, prefill_side
from planner.planning.plan.record import Plan
from planner.planning.pools.find_pools import PoolsResult
from planner.planning.pools.given_pools import (
    GivenPools,
    given_decode_workers,
    given_plan,
    given_prefill_workers,
    priced_pools,
)
from planner.planning.question.engine_choice import NamedByUser, ways_to_serve
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_link import PoolLink, link_between
from planner.planning.question.question import Question, without_time_limits
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

OF_ONE_POOL = ("devices", "tp", "dp", "pp", "ep")
GIVEN_LINK = "given"


def priced_again(inputs: QuestionInput, plan: Plan) -> Plan:
    """Both pools of ``plan`` under the question of ``ask``: another workload, batch of the decode
    workers, device or engine where one is given.

    Raises:
        InputError: a layout is given, which each pool has for itself.
        InfeasibleError: a pool does not fit, or breaks a limit on time.
    """
    pools = plan.deployment
    assert pools is not None
    prefill, decode = questions_of_pools(inputs, plan)
    pools_result = _priced(plan, pools, prefill, decode, exactly=inputs.batch is not None)
    return given_plan(pools_result, decode)


def questions_of_pools(inputs: QuestionInput, plan: Plan) -> tuple[Question, Question]:
    """The questions to the prefill and to the decode workers of ``plan``.

    Raises:
        InputError: a layout or a concurrency is given. UnsupportedError: the engine hands no cache
        over between their pipelines.
    """
    pools = plan.deployment
    assert pools is not None
    given = [name for name in OF_ONE_POOL if getattr(inputs, name) is not None]
    if given:
        raise InputError(
            f"--{given[0]} and a plan in pools: each pool has its own layout and number of workers",
            hint=f"leave --{given[0]} out, or plan again: plan MODEL DEVICE --mode disaggregated",
        )
    if inputs.concurrency is not None:
        each = -(-inputs.concurrency // pools.decode.workers)
        raise InputError(
            "--concurrency and a plan in pools: its decode workers share the requests",
            hint=f"--batch {each}: the sequences of each of its {pools.decode.workers}",
        )
    inputs = inputs.with_names_of(plan)
    decode = side_question(inputs, inputs.given_values, decode_side(plan))
    prefill = side_question(
        replace(inputs, device=_prefill_device(inputs, plan, pools)),
        replace(inputs.given_values, batch=None),
        prefill_side(plan, pools),
    )
    engine = engine_of(decode)
    why = engine and stages_refusal(engine, pools.prefill.layout.pp, pools.decode.layout.pp)
    if why:
        raise no_pools((why,))
    return prefill, decode


def assigned_pools(
    plan: Plan, prefill: Question, decode: Question
) -> tuple[SearchResult, SearchResult]:
    """A prefill and a decode worker of ``plan`` in the formats of each, whatever its times.

    Raises:
        InfeasibleError: a worker does not fit.
    """
    pools = plan.deployment
    assert pools is not None
    reading, decoding = (
        given_assignment(build_model(without_time_limits(question), load_prior()), side)
        for question, side in ((prefill, prefill_side(plan, pools)), (decode, decode_side(plan)))
    )
    return reading, decoding


def link_of_pools(
    plan: Plan, prefill: Question, decode: Question, devices: int, given: float | None = None
) -> PoolLink:
    """The link between the pools on ``devices`` in all: the one that is ``given``, or was for the
    plan.

    Raises:
        InputError: as :func:`planner.planning.pools.handover.link_between`.
    """
    pools = plan.deployment
    assert pools is not None
    if given is None and pools.transfer.link == GIVEN_LINK:
        given = pools.transfer.bytes_per_second
    return link_between(prefill, replace(decode, sizes=(devices,)), given)


def _prefill_device(
    inputs: QuestionInput, plan: Plan, pools: DeploymentInfo
) -> str | DeviceProfile | None:
    """The prefill workers go where the decode workers go, unless they have devices of their own."""
    return inputs.device if pools.prefill.device == plan.device.id else pools.prefill.device


def side_question(inputs: QuestionInput, given_values: GivenValues, side: Plan) -> Question:
    """The question to one pool alone, whose formats are given."""
    full = given_values.filled_from(side)
    return ways_to_serve(
        lambda engine: inputs.question(full, engine=engine, given=side),
        inputs.requested_engine,
        NamedByUser(in_one_mode=True),
    )[0]


def _priced(
    plan: Plan, pools: DeploymentInfo, prefill: Question, decode: Question, *, exactly: bool
) -> PoolsResult:
    """Both pools at the rate that they keep."""
    cost_model = build_model(without_time_limits(prefill), load_prior())
    two = build_model(without_time_limits(decode), load_prior())
    reading = given_prefill_workers(
        cost_model, plan_segments(cost_model, prefill_side(plan, pools)), pools.kv
    )
    decoding = given_decode_workers(
        given_assignment(two, decode_side(plan)), pools.kv, exactly=exactly
    )
    devices = pools.prefill.workers * reading.devices + pools.decode.workers * decoding.devices
    link = link_of_pools(plan, prefill, decode, devices)
    return priced_pools(
        reading,
        decoding,
        GivenPools(pools.prefill.workers, pools.decode.workers, pools.kv, link),
        decode,
    )
