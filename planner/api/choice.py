"""The plan's choice explained: behind :func:`planner.explain` without a module."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from planner.api.ask import of_plan, searched_questions
from planner.errors import DataError, InputError
from planner.lookup import load_device, load_model
from planner.planning.answer.assemble import assemble
from planner.planning.explain.explain import explained
from planner.planning.explain.given_plan import given_found
from planner.planning.explain.records import ChoiceExplanation
from planner.planning.infeasible.diagnose import refuse
from planner.planning.plan.record import Plan
from planner.planning.question.asked import Asked, asked_of
from planner.planning.search.equal_loss import best_answers
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE

if TYPE_CHECKING:
    from planner.quality.profile import Profile
    from planner.scenarios import Scenario

MOST_SOLVES = 10_000


def explain_choice(model: Any, device: Any, asked: Asked, *, plan: Plan | None, solves: int,
                   engine: str, scenario: str | Scenario | None,
                   profile: str | Profile | None,
                   hardware_dir: str | os.PathLike[str] | None) -> ChoiceExplanation:
    """The best plan of a question, or ``plan``, explained.

    Raises:
        InfeasibleError: nothing satisfies the limits.
        InputError, DataError: the plan file is of another model, or needs its quality profile.
    """
    if not 0 <= solves <= MOST_SOLVES:
        raise InputError(f"solves = {solves} is out of range", hint=f"0 to {MOST_SOLVES}")
    if plan is not None:
        model, device = of_plan(model, device, plan)
        other = load_device(device, hardware_dir=hardware_dir).id
        if other != plan.device.id:
            raise InputError(f"the plan is for {plan.device.id}, not {other}, and is explained "
                             "where it was made", hint="leave the device out, or price it there: "
                             "plan estimate --plan")
        _check(plan, hardware_dir, profile)
        asked = _filled(asked, plan)
        if engine == ANY_ENGINE and plan.engine.name != ANY_ENGINE:
            engine = plan.engine.name + (f"@{plan.engine.version}" if plan.engine.version else "")
    questions = searched_questions(model, device, asked, scenario, hardware_dir, profile=profile,
                                   engine=engine)
    found, others = best_answers(questions)
    if found is None:
        raise refuse(build_model(questions[0], load_prior()))
    if plan is None:
        made = assemble(found, searched=True, others=others)
        return explained(questions, found, made, given=None, solves=solves)
    mine, breaks = given_found(questions, plan)
    return explained(questions, found, plan, given=mine, breaks=breaks, solves=solves)


def _check(plan: Plan, hardware_dir: str | os.PathLike[str] | None,
           profile: str | Profile | None) -> None:
    """Refuse a plan of another configuration, device profile or measure of loss."""
    spec = load_model(plan.model.id)
    if spec.config_sha256 != plan.model.config_sha256:
        raise DataError(f"plan file: model {plan.model.id!r} has another configuration here "
                        f"({spec.config_sha256[:8]}, the plan's {plan.model.config_sha256[:8]})",
                        hint="make the plan again")
    target = load_device(plan.device.id, hardware_dir=hardware_dir)
    if target.sha256 != plan.device.profile_sha256:
        raise DataError(f"plan file: device {plan.device.id!r} has another profile here "
                        f"({target.sha256[:8]}, the plan's {plan.device.profile_sha256[:8]})",
                        hint="make the plan again, or give its --hardware-dir")
    if profile is None and not plan.quality.tier.startswith("T0"):
        raise InputError(f"plan file: its losses are of a quality profile ({plan.quality.tier})",
                         hint="give the profile: --profile FILE")


def _filled(asked: Asked, plan: Plan) -> Asked:
    """What was asked of the plan, where nothing else is given now."""
    known = asked_of(plan)
    given = {f.name: getattr(asked, f.name) for f in fields(asked)}
    filled = {name: value if value not in (None, False) else known.get(name, value)
              for name, value in given.items()}
    asked = Asked(**filled)
    if asked.context is None and asked.isl is None and asked.osl is None:
        work = plan.workload
        asked = replace(asked, context=work.context_tokens, isl=work.isl, osl=work.osl)
    return replace(asked, objective=asked.objective or plan.objective,
                   power_mode=plan.power_mode)
