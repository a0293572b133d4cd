"""From a verb's arguments to questions: defaults that can be told from a word given, names looked
up, scenarios read, an engine's ways to serve.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.hardware.catalog import list_devices
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model, load_profile, load_scenario
from planner.memory.engines.catalog import parse_engine
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan
from planner.planning.question.asked import Asked, asked_note
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.question.serving_ways import engine_questions
from planner.planning.search.best_first import Found
from planner.planning.search.equal_loss import best_answers
from planner.planning.space.candidates import Space
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.scenarios import Scenario
from planner.throughput.calibration import ANY_ENGINE

if TYPE_CHECKING:
    from planner.quality.profile import Profile


class Default(str):
    """A default that can be told from the same word given: only the latter overrides a scenario."""

    __slots__ = ()


THROUGHPUT, AUTO, BF16, ANY = (Default(v) for v in ("throughput", "auto", "bf16", ANY_ENGINE))


def given(value: str) -> str | None:
    """The value if the caller gave it, else None."""
    return None if isinstance(value, Default) else value


def named_engine(engine: str, plan: Plan | None) -> str | None:
    """The engine that the caller named, else the one of the plan that is priced; None for none."""
    if given(engine) is None and plan is not None and plan.engine.name != ANY_ENGINE:
        return "@".join(filter(None, (plan.engine.name, plan.engine.version)))
    return given(engine)


def scheme_list(schemes: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names of schemes, None for none; a single text is no list of its letters."""
    return name_list("schemes", schemes)


def name_list(argument: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names, None for none; a single text is no list of its letters."""
    if isinstance(names, str):
        raise InputError(f"{argument} = {names!r} is one text",
                         hint=f"a list of names: [{names!r}]")
    return tuple(names) if names is not None else None


def of_plan(model: str | ModelSpec | None, device: str | DeviceProfile | None, plan: Plan,
            ) -> tuple[str | ModelSpec, str | DeviceProfile]:
    """Model and device of a plan that is priced: those given, else the plan's own. Another device
    is one to price it on.

    Raises:
        InputError: another model.
    """
    if model is not None and (other := load_model(model).id) != plan.model.id:
        raise InputError(f"the plan is for {plan.model.id}, not {other}",
                         hint=f"leave the model out, or name {plan.model.id}")
    return (model if model is not None else plan.model.id,
            device if device is not None else plan.device.id)


def question_of(model: Any, device: Any, asked: Asked, scenario: str | Scenario | None,
              hardware_dir: str | os.PathLike[str] | None, *, uniform: str | None,
              plan: Plan | None = None, profile: str | Profile | None = None,
              engine: str = ANY) -> Question:
    loaded = load_scenario(scenario) if scenario is not None else None
    values = dict(loaded.values) if loaded is not None else {}
    named = named_engine(engine, plan)
    name = values.get("engine", ANY_ENGINE) if named is None else named
    server = parse_engine(name) if name != ANY_ENGINE else None
    model = model if model is not None else values.get("model")
    device = device if device is not None else values.get("device")
    if model is None or device is None:
        missing = "model" if model is None else "device"
        raise InputError(f"no {missing} given", hint="plan MODEL DEVICE, or a scenario with both")
    spec = load_model(model)
    notes: tuple[tuple[str, str, str], ...] = ()
    if profile is not None:
        profile, notes = load_profile(profile, spec, model)
    question = build_question(spec, load_device(device, hardware_dir=hardware_dir),
                              asked, loaded, uniform=uniform, given=plan, profile=profile,
                              engine=server)
    return replace(question, notes=(*question.notes, *notes)) if notes else question


def searched_questions(model: Any, device: Any, asked: Asked, scenario: str | Scenario | None,
                       hardware_dir: str | os.PathLike[str] | None, *,
                       profile: str | Profile | None, engine: str) -> tuple[Question, ...]:
    """The questions whose best answer is the plan, with a note of what was asked."""
    question = question_of(model, device, asked, scenario, hardware_dir, uniform=None,
                         profile=profile, engine=engine)
    full = asked.with_scenario(load_scenario(scenario) if scenario is not None else None)
    question = replace(question, notes=(*asked_note(full), *question.notes))
    return engine_questions(question, schemes_named=full.schemes is not None,
                            kv_named=full.kv not in (None, AUTO))


def best_found(questions: Sequence[Question]) -> Found:
    """The best answer of several questions, the first of equals."""
    return best_and_others(questions)[0]


def best_and_others(questions: Sequence[Question]) -> tuple[Found, tuple[Space, ...]]:
    """(the best answer of several questions, the first of equals; the other questions' candidates).

    Raises:
        InfeasibleError: none has an answer; the message is about the first.
    """
    found, others = best_answers(questions)
    if found is None:
        from planner.planning.infeasible.diagnose import refuse

        raise refuse(build_model(questions[0], load_prior()), list_devices)
    return found, others
