"""The arguments of a what-if grid that a plan file tells."""

from __future__ import annotations

from typing import Any

from planner.base.errors import InputError
from planner.hardware.power import fastest_mode
from planner.lookup import load_device, load_model
from planner.messages.message import message
from planner.planning.plan.record import Plan
from planner.planning.question.declaring import parameters
from planner.planning.question.given_values import recorded_values
from planner.planning.question.parameters import RuleParameters
from planner.planning.question.workload import workload


def around_file(plan: Plan) -> dict[str, Any]:
    """The arguments of :func:`planner.what_if` that a plan file tells: model, device, workload,
    engine, objective, and the limits, layout and formats that were asked for.

    Raises:
        InputError: the model is another one by now, or a scenario asked for what no flag repeats.
    """
    spec = load_model(plan.model.id)
    if spec.config_sha256 != plan.model.config_sha256:
        raise InputError(
            message("refusals.has_changed_since_plan_was", x=plan.model.id),
            hint="plan again, with --report FILE.html --interactive",
        )
    if plan.speculation is not None:
        raise InputError(
            "the plan drafts tokens, which the what-if page does not price",
            hint="plan again without --speculation",
        )
    recorded = dict(recorded_values(plan))
    recorded.pop("policies", None)  # what the scenario named; what it dropped is an argument
    for name in ("exact", *parameters(RuleParameters)):
        recorded.pop(name, None)
    lost = [name for name in ("keep_first_layers", "keep_last_layers") if recorded.get(name)]
    device = load_device(plan.device.id)
    if plan.power_mode is not None and plan.power_mode != fastest_mode(device):
        lost.append("power_mode")
    if lost:
        raise InputError(
            f"the plan was made with {lost[0].replace('_', '-')} of a scenario, which "
            "a plan file alone does not repeat",
            hint="plan again: plan --scenario FILE --report FILE.html --interactive",
        )
    work = plan.workload
    same = workload(spec.max_context, context=work.context_tokens, isl=None, osl=None)
    given: dict[str, Any] = {"context": work.context_tokens}
    if work.prefix_hit_rate:
        given["prefix_hit_rate"] = work.prefix_hit_rate
    if (same.isl, same.osl) != (work.isl, work.osl):
        given |= {"isl": work.isl, "osl": work.osl}
    if not plan.engine.chosen_from:
        given["engine"] = "@".join(filter(None, (plan.engine.name, plan.engine.version)))
    return {
        "model": plan.model.id,
        "device": plan.device.id,
        "objective": plan.objective,
        **recorded,
        **given,
    }
