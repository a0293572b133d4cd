"""A plan's own question, from the plan file alone, and its assignment placed and priced again.

What a report shows beside the plan file is computed from this. A plan whose model or device is
another one by now, or whose scenario the file does not hold, is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import message
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.planning.inspect.assignment import given_assignment
from planner.planning.plan.pool_sides import decode_side
from planner.planning.plan.record import Plan
from planner.planning.price.price import Priced, price
from planner.planning.price.served import serving_of, serving_policy, tabulate
from planner.planning.price.step import Assignment
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.learned import run_ids_in, with_learned
from planner.planning.question.offload import (
    HostRequest,
    given_offload,
    with_offload,
    without_host_schemes,
)
from planner.planning.question.question import Question, without_time_limits
from planner.planning.question.resolve import build_question
from planner.planning.question.scenario import Scenario
from planner.planning.question.speculation import as_in_plan
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.candidates import decode_only
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.pools import decode_tpot
from planner.throughput.scheduling import Load

SAME = 1e-6
"""Relative difference in TPOT above which the file does not hold what the plan was made with."""


@dataclass(frozen=True)
class Repriced:
    """``question`` is free of limits; ``result`` and ``priced`` are the plan's assignment. Of a
    plan in pools (``pooled``) all are of its decode workers."""

    plan: Plan
    question: Question
    result: SearchResult
    priced: Priced
    pooled: bool = False

    def refuse_pools(self) -> None:
        """Refuse a plan in pools where one pool is no answer.

        Raises:
            UnsupportedError: it has pools.
        """
        if self.pooled:
            raise UnsupportedError(
                "both pools would change with it",
                hint="plan --mode disaggregated asks again with other values",
            )


def reprice(
    plan: Plan,
    *,
    scenario: Scenario | None = None,
    spec: ModelSpec | None = None,
    device: DeviceProfile | None = None,
    folders: Sequence[Path] = (),
) -> Repriced:
    """``plan`` placed and priced again; of a plan in pools its decode workers.

    Raises:
        InputError: model, device or assignment are not what the plan file says.
    """
    spec, device = _known(plan, spec, device, folders)
    pooled, plan = plan.deployment is not None, decode_side(plan)
    question_as_made = build_question(
        spec,
        device,
        GivenValues().filled_from(plan),
        scenario,
        uniform=None,
        given=plan,
        engine=engine_of(plan),
    )
    if learned := run_ids_in(plan.assumptions):
        question_as_made = with_learned(question_as_made, only=learned)
    if plan.offload is not None:
        question_as_made = without_host_schemes(
            with_offload(
                question_as_made,
                engine_of(plan),
                HostRequest(
                    resolve_device(plan.offload.host, folders),
                    plan.offload.sockets,
                    plan.offload.memory_bytes,
                ),
            ),
            plan,
        )
    question = given_offload(without_limits(_as_served(question_as_made), plan), plan)
    question = replace(question, speculation=as_in_plan(plan.speculation, spec))
    result = given_assignment(build_model(question, load_prior()), plan)
    if pooled:
        space = decode_only(result.space)
        result = replace(result, space=space, grid=space)
    priced = price(result.space, result.candidate, result.segments)
    tpot = _tpot_in_pools(result, plan) if pooled else priced.tpot
    stated_tpot = plan.performance.tpot_seconds.value
    if abs(tpot - stated_tpot) > SAME * stated_tpot:
        raise InputError(
            message(
                "refusals.priced_from_plan_file_alone", tpot=f"{tpot:.4g}", b=f"{stated_tpot:.4g}"
            ),
            hint="its scenario is not in the plan file",
        )
    return Repriced(plan, question, result, priced, pooled)


def _tpot_in_pools(result: SearchResult, plan: Plan) -> float:
    """Seconds a token of the decode workers at the rate that the plan says of its loop."""
    question, layout = result.space.model.question, result.space.layout(result.candidate)
    work, batch = question.workload, float(plan.workload.batch)
    assignment = Assignment(result.space.model, result.space.tables, 0, result.segments)
    serving = replace(serving_of(question, layout, batch, work), reading=1.0)
    return decode_tpot(
        tabulate(assignment, [(0, serving)])[0],
        Load(batch, work.isl, work.osl, layout.dp, accepted=question.accepted),
        serving_policy(question),
        plan.layout.replicas,
        plan.performance.output_tokens_per_second.value / work.osl,
    )


def _as_served(question: Question) -> Question:
    """``question`` on the kernels that its engine runs the plan's schemes on; on their own where
    the engine does not serve the plan."""
    try:
        way = engine_questions(question, in_one_mode=True)[0]
    except UnsupportedError:
        return question
    return replace(question, container=way.container, routes=way.routes)


def without_limits(question: Question, plan: Plan) -> Question:
    """``question`` without limits and with memory for anything; usable bytes stay in the plan."""
    return replace(
        without_time_limits(question),
        memory_bytes=None,
        loss_scheme=None,
        loss_limit=None,
        capacity_bytes=max(question.capacity_bytes, plan.memory_per_device.total_bytes),
        usable_bytes=max(question.usable_bytes, plan.memory_per_device.total_bytes),
    )


def engine_of(plan: Plan) -> Engine | None:
    """The plan's engine, None for any."""
    if plan.engine.name == ANY_ENGINE:
        return None
    return parse_engine("@".join(filter(None, (plan.engine.name, plan.engine.version))))


def _known(
    plan: Plan, spec: ModelSpec | None, device: DeviceProfile | None, folders: Sequence[Path]
) -> tuple[ModelSpec, DeviceProfile]:
    """The plan's model and device, checked by their digests."""
    spec = resolve_model(plan.model.id) if spec is None else spec
    device = resolve_device(plan.device.id, folders) if device is None else device
    for name, digest, wanted in (
        (spec.id, spec.config_sha256, plan.model.config_sha256),
        (device.id, device.sha256, plan.device.profile_sha256),
    ):
        if digest != wanted:
            raise InputError(
                message("refusals.has_changed_since_plan_was", x=name), hint="make the plan again"
            )
    return spec, device
