"""The Python API: names, paths and defaults are resolved here; the core takes exact arguments.

Arguments carry the names of the command line's flags, except that ``--ttft-ms`` and ``--tpot-ms``
are ``ttft_seconds`` and ``tpot_seconds``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import DataError, InputError
from planner.hardware.catalog import list_devices, resolve_device
from planner.hardware.folders import hardware_folders
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec
from planner.planning.answer.assemble import assemble
from planner.planning.plan.record import Plan
from planner.planning.question.asked import asked_note
from planner.planning.question.question import Question
from planner.planning.question.resolve import Asked, build_question
from planner.planning.question.serving_ways import engine_questions
from planner.planning.search.best_first import Found
from planner.planning.search.equal_loss import best_answers
from planner.planning.space.candidates import Space
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.scenarios import Scenario
from planner.scenarios import load_scenario as _load_scenario
from planner.throughput.calibration import ANY_ENGINE
from planner.typed import typed

if TYPE_CHECKING:
    from planner.quality.layer_error import LayerNumerics
    from planner.quality.profile import Profile


class Default(str):
    """A default that can be told from the same word given: only the latter overrides a scenario."""

    __slots__ = ()


THROUGHPUT, AUTO, BF16, ANY = (Default(v) for v in ("throughput", "auto", "bf16", ANY_ENGINE))


def _given(value: str) -> str | None:
    """The value if the caller gave it, else None."""
    return None if isinstance(value, Default) else value


def named_engine(engine: str, plan: Plan | None) -> str | None:
    """The engine that the caller named, else the one of the plan that is priced; None for none."""
    if _given(engine) is None and plan is not None and plan.engine.name != ANY_ENGINE:
        return "@".join(filter(None, (plan.engine.name, plan.engine.version)))
    return _given(engine)


def scheme_list(schemes: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names of schemes, None for none; a single text is no list of its letters."""
    return name_list("schemes", schemes)


def name_list(argument: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names, None for none; a single text is no list of its letters."""
    if isinstance(names, str):
        raise InputError(f"{argument} = {names!r} is one text",
                         hint=f"a list of names: [{names!r}]")
    return tuple(names) if names is not None else None


@typed
def load_model(model: str | ModelSpec) -> ModelSpec:
    """A model by id, alias, public name, directory, or configuration file."""
    return model if isinstance(model, ModelSpec) else resolve_model(str(model))


@typed
def load_device(device: str | DeviceProfile, *,
                hardware_dir: str | os.PathLike[str] | None = None) -> DeviceProfile:
    """A device by id, alias, or profile path; ``hardware_dir`` is searched before the others."""
    if isinstance(device, DeviceProfile):
        return device
    return resolve_device(str(device), hardware_folders(hardware_dir))


@typed
def load_scenario(scenario: str | Scenario) -> Scenario:
    """A scenario by name or TOML path."""
    return scenario if isinstance(scenario, Scenario) else _load_scenario(str(scenario))


@typed
def inventory(model: str | ModelSpec) -> Inventory:
    """Counts, bytes and tensor classes of a model."""
    return Inventory(load_model(model))


@typed
def plan(model: str | ModelSpec | None = None, device: str | DeviceProfile | None = None, *,
         devices: int | None = None, tp: int | None = None, dp: int | None = None,
         pp: int | None = None, ep: int | None = None, context: int | None = None,
         isl: int | None = None, osl: int | None = None, batch: int | None = None,
         objective: str = THROUGHPUT, ttft_seconds: float | None = None,
         tpot_seconds: float | None = None, max_loss: str | float | None = None,
         schemes: Sequence[str] | None = None, kv: str = AUTO,
         memory_bytes: int | None = None, engine: str = ANY,
         scenario: str | Scenario | None = None, profile: str | Profile | None = None,
         untie: bool = False, drop_policies: Sequence[str] | None = None,
         anchor: str | None = None,
         hardware_dir: str | os.PathLike[str] | None = None) -> Plan:
    """The best per-layer plan for a model on a device.

    Model and device may come from ``scenario``; arguments given here override it. ``anchor``
    (``tpot_ms=12.3``) is a measured point whose ratio is told among the assumptions.
    ``drop_policies`` names rules that shall not hold (``head``, ``first-layers``, …): their modules
    are planned too.

    Raises:
        InfeasibleError: nothing satisfies the limits; the message names the binding one.
        InputError: an unknown name, a number out of range, an unsupported combination.
    """
    asked = Asked(devices=devices, tp=tp, dp=dp, pp=pp, ep=ep, context=context, isl=isl, osl=osl,
                  batch=batch, objective=_given(objective),
                  ttft_seconds=ttft_seconds, tpot_seconds=tpot_seconds, max_loss=max_loss,
                  schemes=name_list("schemes", schemes),
                  kv=_given(kv), memory_bytes=memory_bytes, untie=untie,
                  drop_policies=name_list("drop_policies", drop_policies))
    _check_anchor(anchor)
    found, others = _answers(searched_questions(model, device, asked, scenario, hardware_dir,
                                                profile=profile, engine=engine))
    return _anchored(assemble(found, searched=True, others=others), anchor)


@typed
def estimate(model: str | ModelSpec | None = None, device: str | DeviceProfile | None = None, *,
             scheme: str | None = None, plan: Plan | None = None, kv: str = BF16,
             devices: int | None = None, tp: int | None = None, dp: int | None = None,
             pp: int | None = None, ep: int | None = None, context: int | None = None,
             isl: int | None = None, osl: int | None = None, batch: int | None = None,
             objective: str = THROUGHPUT, ttft_seconds: float | None = None,
             tpot_seconds: float | None = None, memory_bytes: int | None = None,
             engine: str = ANY, scenario: str | Scenario | None = None,
             profile: str | Profile | None = None, anchor: str | None = None,
             hardware_dir: str | os.PathLike[str] | None = None) -> Plan:
    """Price one uniform scheme (as released when none is named), or the assignment of ``plan``.

    Layout and batch are searched where they are not given (``plan`` brings its own, and its
    workload and engine). ``anchor`` as in :func:`plan`.

    Raises:
        UnsupportedError: the device cannot execute the scheme; the message gives the reason.
        InfeasibleError: it does not fit.
    """
    _check_anchor(anchor)
    asked = Asked(devices=devices, tp=tp, dp=dp, pp=pp, ep=ep, context=context, isl=isl, osl=osl,
                  batch=batch, objective=_given(objective),
                  ttft_seconds=ttft_seconds, tpot_seconds=tpot_seconds,
                  kv=_given(kv), memory_bytes=memory_bytes)
    if plan is not None:
        from planner.planning.inspect.assignment import given_assignment

        if scheme is not None:
            raise InputError("scheme and plan exclude each other", hint="leave one out")
        if kv != "bf16":
            raise InputError(f"kv {kv!r} and plan exclude each other: the plan has its own caches",
                             hint="leave one out")
        chosen, where = of_plan(model, device, plan)
        question = _question(chosen, where, asked.filled_from(plan), scenario, hardware_dir,
                             uniform=None, given=plan, profile=profile, engine=engine)
        question = engine_questions(question, together=True)[0]
        return _anchored(assemble(given_assignment(build_model(question, load_prior()), plan),
                                  searched=False), anchor)
    if scheme is None and scenario is not None:
        scheme = load_scenario(scenario).values.get("scheme")
    question = _question(model, device, asked, scenario, hardware_dir, uniform=scheme or "",
                         profile=profile, engine=engine)
    found = _best(engine_questions(question, together=True))
    return _anchored(assemble(found, searched=False), anchor)


NUMERICS_SCHEMES = ("bf16", "fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "int4-w4a16")
MOST_SAMPLED = 1 << 20
"""Most tokens and outputs of a layer that are sampled, and the largest seed."""


@typed
def layer_error(model: str | ModelSpec, *, module: str, schemes: Sequence[str] | None = None,
                units: Sequence[str] | None = None, tokens: int = 32, outputs: int = 64,
                seed: int = 1) -> LayerNumerics:
    """The error of one layer of a model under each scheme, split by cause.

    The layer is the widest GEMM (most inputs) of ``module``; ``outputs`` and ``tokens`` are
    sampled. Tensors are synthetic, with the statistics of the module kind.

    Raises:
        UnknownNameError: a module kind that the model does not have, a scheme, a unit.
    """
    from planner.errors import UnknownNameError
    from planner.placement.modules import PLANNED_KINDS, modules
    from planner.quality.layer_error import LayerNumerics, LayerShape, layer_errors

    for name, value, least in (("tokens", tokens, 1), ("outputs", outputs, 1), ("seed", seed, 0)):
        if not least <= value <= MOST_SAMPLED:
            raise InputError(f"{name} = {value} is out of range",
                             hint=f"{name} is a whole number from {least} to {MOST_SAMPLED}")
    spec = load_model(model)
    gemms = {m.kind: m.gemms for m in modules(spec) if m.kind in PLANNED_KINDS}
    if module not in gemms:
        raise UnknownNameError(f"module of {spec.id}", module, gemms)
    widest = max(gemms[module], key=lambda g: g.inputs)
    shape = LayerShape(module, widest.inputs, min(outputs, sum(n for n, _ in widest.members)),
                       tokens, seed)
    return LayerNumerics(spec.id, shape,
                         layer_errors(shape, schemes or NUMERICS_SCHEMES, units))


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


def _check_anchor(text: str | None) -> None:
    """Refuse a malformed anchor before anything is computed."""
    if text is not None:
        from planner.planning.answer.measured_point import parse_anchor

        parse_anchor(text)


def _anchored(plan: Plan, text: str | None) -> Plan:
    """``plan`` with the ratio to one measured operating point among its assumptions."""
    if text is None:
        return plan
    from planner.planning.answer.measured_point import anchor_note, anchored

    perf = plan.performance
    found = anchored(text, {name: getattr(perf, name).value for name in (
        "tpot_seconds", "ttft_seconds", "output_tokens_per_second")})
    return replace(plan, assumptions=(*plan.assumptions, anchor_note(found)))


def _question(model: Any, device: Any, asked: Asked, scenario: str | Scenario | None,
              hardware_dir: str | os.PathLike[str] | None, *, uniform: str | None,
              given: Plan | None = None, profile: str | Profile | None = None,
              engine: str = ANY) -> Question:
    loaded = load_scenario(scenario) if scenario is not None else None
    values = dict(loaded.values) if loaded is not None else {}
    named = named_engine(engine, given)
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
                              asked, loaded, uniform=uniform, given=given, profile=profile,
                              engine=server)
    return replace(question, notes=(*question.notes, *notes)) if notes else question


def searched_questions(model: Any, device: Any, asked: Asked, scenario: str | Scenario | None,
                       hardware_dir: str | os.PathLike[str] | None, *,
                       profile: str | Profile | None, engine: str) -> tuple[Question, ...]:
    """The questions whose best answer is the plan, with a note of what was asked."""
    question = _question(model, device, asked, scenario, hardware_dir, uniform=None,
                         profile=profile, engine=engine)
    full = asked.with_scenario(load_scenario(scenario) if scenario is not None else None)
    question = replace(question, notes=(*asked_note(full), *question.notes))
    return engine_questions(question, schemes_named=full.schemes is not None,
                            kv_named=full.kv not in (None, AUTO))


def load_profile(profile: str | Profile, spec: ModelSpec, model: Any,
                  ) -> tuple[Profile, tuple[tuple[str, str, str], ...]]:
    """The profile, checked against the model, with notes on what could not be checked."""
    from planner.quality.profile_match import check_profile

    place = "profile"
    if isinstance(profile, (str, os.PathLike)):
        from planner.quality.profile_file import read_profile

        place, profile = str(profile), read_profile(Path(profile))
    notes = check_profile(profile, spec, place)
    named = isinstance(model, (str, os.PathLike))
    path = Path(model) if named and spec.source_kind == "file" else None
    if path is not None and profile.checkpoint.sha256 and (path.suffix == ".gguf"
                                                           or any(path.glob("*.safetensors"))):
        from planner.profiling.places import read_places

        if read_places(path).sha256 != profile.checkpoint.sha256:
            raise DataError(f"{place}: made of other files than those in {path}",
                            hint="profile this checkpoint: plan profile " + str(path))
    return profile, tuple(("profile", place, note) for note in notes)


def _best(questions: Sequence[Question]) -> Found:
    """The best answer of several questions, the first of equals."""
    return _answers(questions)[0]


def _answers(questions: Sequence[Question]) -> tuple[Found, tuple[Space, ...]]:
    """(the best answer of several questions, the first of equals; the other questions' candidates).

    Raises:
        InfeasibleError: none has an answer; the message is about the first.
    """
    found, others = best_answers(questions)
    if found is None:
        from planner.planning.infeasible.diagnose import refuse

        raise refuse(build_model(questions[0], load_prior()), list_devices)
    return found, others
