"""The operators of a plan for its report: model and device are looked up and checked by digest."""

from __future__ import annotations

import os

from planner.api import load_device, load_model
from planner.errors import PlannerError
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.planning.plan import Plan, UnitPlan
from planner.planning.resolve import Asked, build_question
from planner.planning.work import Work, unit_work
from planner.quality.prior import load_prior
from planner.report.operators import Operator, Operators
from planner.throughput.calibration import ANY_ENGINE

SIXTEEN_BITS = "bf16"


def operators(plan: Plan, *, hardware_dir: str | os.PathLike[str] | None = None) -> Operators:
    """FLOP, bytes and times of ``plan``'s units by kind and scheme; the reason where the model or
    the device of the plan is not known here, or is another one by now."""
    try:
        spec = load_model(plan.model.id)
        device = load_device(plan.device.id, hardware_dir=hardware_dir)
        for name, digest, wanted in ((spec.id, spec.config_sha256, plan.model.config_sha256),
                                     (device.id, device.sha256, plan.device.profile_sha256)):
            if digest != wanted:
                return Operators(reason=f"{name} has changed since the plan was made")
        engine = None if plan.engine.name == ANY_ENGINE else parse_engine(
            "@".join(filter(None, (plan.engine.name, plan.engine.version))))
        question = build_question(spec, device, Asked().filled_from(plan), None, uniform=None,
                                  given=plan, engine=engine)
        counted = unit_work(question, plan, load_prior())
    except PlannerError as error:
        return Operators(reason=error.message)
    return _gathered(plan, device, counted)


def _gathered(plan: Plan, device: DeviceProfile,
              counted: dict[tuple[str, tuple[int, ...]], Work]) -> Operators:
    groups: dict[tuple[str, str], list[UnitPlan]] = {}
    for unit in plan.units:
        if (unit.kind, unit.layers) in counted:
            groups.setdefault((unit.kind, unit.scheme), []).append(unit)
    points, unplaced = [], []
    for (kind, scheme), units in groups.items():
        works = [counted[u.kind, u.layers] for u in units]
        peak = _peak(units[0], device)
        decode = Operator(kind, scheme, "decode", sum(w.decode_flop for w in works),
                          sum(w.decode_bytes for w in works), sum(u.decode_seconds for u in units),
                          peak)
        prompt = Operator(kind, scheme, "prefill", sum(w.prefill_flop for w in works),
                          sum(w.prefill_bytes for w in works),
                          sum(u.prefill_seconds for u in units), peak)
        placed = [o for o in (decode, prompt) if o.flop > 0 and o.moved_bytes > 0 and o.seconds > 0]
        points += placed
        if not placed and kind not in unplaced:
            unplaced.append(kind)
    return Operators(device.bandwidth_bytes_per_s.value, _roofs(plan, device), tuple(points),
                     tuple(unplaced))


def _compute(unit: UnitPlan) -> str:
    """The format that multiplies: the scheme's; attention and what is kept run in 16 bits."""
    return scheme_by_id(unit.scheme).compute \
        if unit.kv_layout is None and unit.scheme in SCHEMES else SIXTEEN_BITS


def _peak(unit: UnitPlan, device: DeviceProfile) -> float:
    """Dense peak of the unit's format; of 16 bits where a CPU widens it in software."""
    rate = device.rate(_compute(unit)) or device.rate(SIXTEEN_BITS)
    return rate.dense.value if rate is not None else 0.0


def _roofs(plan: Plan, device: DeviceProfile) -> tuple[tuple[str, float], ...]:
    """Dense peaks of the formats that the plan multiplies in, the highest first."""
    found = {name: rate.dense.value for name in {_compute(u) for u in plan.units}
             if (rate := device.rate(name)) is not None}
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))
