"""The plan's choice explained: behind :func:`planner.explain` without a module."""

from __future__ import annotations

from dataclasses import fields, replace

from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lookup import load_device, load_model
from planner.planning.answer.assemble import recommended
from planner.planning.choose.decision import decide
from planner.planning.choose.selection import allowed_loss
from planner.planning.explain.explain import explain_result
from planner.planning.explain.given_plan import plan_as_answer
from planner.planning.explain.records import ChoiceExplanation
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.diagnose import no_plan_error
from planner.planning.modes.deploy import (
    decided_at_home,
    decided_plan,
    in_its_mode,
    in_pools,
    plan_with_desktop,
)
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import LENGTHS, GivenValues, recorded_values
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import PoolFlags

MOST_SOLVES = 10_000


def explain_choice(
    inputs: QuestionInput, *, solves: int, flags: PoolFlags
) -> ChoiceExplanation | Plan:
    """The best plan of a question, or the plan that it names, explained; the plan itself where it
    is of two pools.

    Raises:
        InfeasibleError: nothing satisfies the limits.
        InputError, DataError: the plan file is of another model, or needs its quality profile.
    """
    if not 0 <= solves <= MOST_SOLVES:
        raise InputError(f"solves = {solves} is out of range", hint=f"0 to {MOST_SOLVES}")
    given_values, plan = inputs.given_values, inputs.plan
    if plan is not None:
        inputs = inputs_of_plan(inputs, plan)
        given_values = filled_from_plan(given_values, plan)
    flags.check()
    decision = (
        None
        if flags.demanded and plan is None
        else decide(inputs.questions(given_values), exact=given_values.exact)
    )
    if plan is None and decision is None:
        return decided_plan(inputs, flags)[0]
    if decision is None:
        raise no_plan_error(unserved_case(inputs, given_values=given_values))
    if plan is None:
        hosted = plan_with_desktop(inputs, decision)
        if hosted is not None:
            return hosted
        decision = decided_at_home(inputs, decision) or decision
    # What the choice turns on is told of the engine that is taken.
    questions, result = decision.questions, decision.result
    if plan is None:
        choice = decision.choice
        made = recommended(choice, others=decision.others)
        served = in_its_mode(inputs, flags, decision, made)
        if in_pools(served):
            return served
        taken = None if choice.taken == choice.optimum else choice.result()
        return explain_result(questions, result, made, given=taken, solves=solves)
    mine, breaks = plan_as_answer(questions, plan)
    if breaks == "max-loss" and plan.recommendation is not None:
        # A plan that was recommended keeps the limit inside the band of its loss.
        mine, breaks = plan_as_answer(
            [replace(q, loss_scheme=None, loss_limit=allowed_loss(result)) for q in questions], plan
        )
    return explain_result(questions, result, plan, given=mine, breaks=breaks, solves=solves)


def inputs_of_plan(inputs: QuestionInput, plan: Plan) -> QuestionInput:
    """The question with the plan's model, device and, where none is named, engine.

    Raises:
        InputError: the plan is of another model or device.
        DataError: they have changed since.
    """
    inputs = inputs.with_names_of(plan)
    assert inputs.device is not None
    other = load_device(inputs.device, hardware_dir=inputs.hardware_dir).id
    if other != plan.device.id:
        raise InputError(
            f"the plan is for {plan.device.id}, not {other}, and is explained where it was made",
            hint="leave the device out, or price it there: plan estimate --plan",
        )
    _check(inputs, plan)
    return inputs


def _check(inputs: QuestionInput, plan: Plan) -> None:
    """Refuse a plan of another configuration, device profile or measure of loss."""
    spec = load_model(plan.model.id)
    if spec.config_sha256 != plan.model.config_sha256:
        raise DataError(
            f"plan file: model {plan.model.id!r} has another configuration here "
            f"({spec.config_sha256[:8]}, the plan's {plan.model.config_sha256[:8]})",
            hint="make the plan again",
        )
    target = load_device(plan.device.id, hardware_dir=inputs.hardware_dir)
    if target.sha256 != plan.device.profile_sha256:
        raise DataError(
            f"plan file: device {plan.device.id!r} has another profile here "
            f"({target.sha256[:8]}, the plan's {plan.device.profile_sha256[:8]})",
            hint="make the plan again, or give its --hardware-dir",
        )
    if plan.speculation is not None:
        raise UnsupportedError(
            "plan file: it drafts tokens, which is not searched again here",
            hint="plan again without --speculation",
        )
    if plan.offload is not None or recorded_values(plan).get("host") is not None:
        beside = "" if plan.offload is not None else "it was asked beside a host, and "
        raise UnsupportedError(
            f"plan file: {beside}weights in host memory are not explained",
            hint="`plan estimate --plan` prices such a plan",
        )
    if inputs.profile is None and not plan.quality.tier.startswith("T0"):
        raise InputError(
            f"plan file: its losses are of a quality profile ({plan.quality.tier})",
            hint="give the profile: --profile FILE",
        )


def filled_from_plan(given_values: GivenValues, plan: Plan) -> GivenValues:
    """What was asked of the plan, where nothing else is given now."""
    known = dict(recorded_values(plan))
    if given_values.batch is not None or given_values.concurrency is not None:
        known.pop("batch", None)
        known.pop("concurrency", None)
    given = {f.name: getattr(given_values, f.name) for f in fields(given_values)}
    filled = {
        name: value if value not in (None, False) else known.get(name, value)
        for name, value in given.items()
    }
    given_values = GivenValues(**filled)
    if given_values.workload is None and all(getattr(given_values, key) is None for key in LENGTHS):
        given_values = given_values.with_workload_of(plan)
    return replace(
        given_values, objective=given_values.objective or plan.objective, power_mode=plan.power_mode
    )
