"""One request alone on one device: what a bench of an engine times, priced as a plan is."""

from __future__ import annotations

from dataclasses import replace
from math import fsum

from planner.base.errors import InfeasibleError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.planning.answer.assemble import assemble
from planner.planning.inspect.assignment import given_assignment
from planner.planning.plan.record import Estimate, Plan
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import NO_LIMIT, GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.quality.profile import Profile


@record
class BatchOneRun:
    """``isl`` tokens in, ``osl`` out, one sequence whose cache has ``context`` tokens in the layout
    ``kv``, on one device with ``engine``."""

    device: DeviceProfile
    engine: str
    isl: int
    osl: int
    context: int
    kv: str


def price_batch_one(
    spec: ModelSpec,
    how: BatchOneRun,
    *,
    scheme: str = "",
    plan: Plan | None = None,
    profile: Profile | None = None,
) -> Plan:
    """``plan``'s assignment, else one ``scheme`` (empty: as ``spec`` is stored), priced alone in an
    engine that runs eagerly: nothing is compiled for a bench.

    Raises:
        InputError: it is of another model. UnsupportedError: device or engine cannot.
        InfeasibleError: it does not fit.
    """
    values = GivenValues(
        devices=1,
        tp=1,
        dp=1,
        pp=1,
        ep=1,
        batch=1,
        isl=how.isl,
        osl=how.osl,
        context=how.context,
        tpot_seconds=NO_LIMIT,
        kv=None if plan is not None else how.kv,
    )
    question = build_question(
        spec,
        how.device,
        values,
        None,
        uniform=scheme if plan is None else None,
        given=plan,
        profile=profile,
        engine=parse_engine(how.engine),
    )
    way = engine_questions(replace(question, eager=True), in_one_mode=True)[0]
    if plan is not None:
        return assemble(given_assignment(build_model(way, load_prior()), plan))
    result = solve_with_relaxations((way,))[0]
    if result is None:
        raise InfeasibleError(
            message(
                "refusals.as_does_not_run_on",
                m=spec.id,
                s=scheme,
                d=how.device.id,
                engine=how.engine,
            )
            if scheme
            else message("refusals.as_it_is_stored_does", m=spec.id, d=how.device.id, e=how.engine),
            hint="`plan estimate` says why",
        )
    return assemble(result)


def prompt_and_step(priced: Plan) -> tuple[Estimate, Estimate]:
    """Seconds of the bare prompt and of the bare step: nothing arrives in between, nothing
    waits."""
    performance = priced.performance
    step = performance.tpot_seconds.value - (performance.interruption_seconds or 0.0)
    prompt = fsum(unit.prefill_seconds for unit in priced.units)
    return _scaled(prompt, performance.ttft_seconds), _scaled(step, performance.tpot_seconds)


def _scaled(value: float, estimate: Estimate) -> Estimate:
    """``value`` with the relative interval and basis of an estimate."""
    return Estimate(
        value,
        value * estimate.low / estimate.value,
        value * estimate.high / estimate.value,
        estimate.basis,
    )
