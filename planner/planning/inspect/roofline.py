"""Operators of a plan on a device's roofline: what was counted, and what the plan says of time.

FLOP and bytes are those of operators priced on a device of unit rates: a roofline operator takes
FLOP/(P·e_c) and bytes/(W·e_m) seconds. With P = W = e = 1, no floors and no fitted kernels those
seconds are the counts, so nothing is counted a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.formats.kv import kv_layout
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import Achieved, DeviceProfile, Quantity, Rate
from planner.planning.inspect.assignment import given_assignment
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.price.price import price
from planner.planning.question.question import Question, without_time_limits
from planner.planning.space.model import build_model
from planner.quality.prior import Prior, load_prior
from planner.throughput.attention import NARROW_CACHE_FRACTION

SIXTEEN_BITS = "bf16"


@dataclass(frozen=True, slots=True)
class OperatorCounts:
    """Counts of one pass of one rank over a unit's layers; ``moved_bytes`` through its memory.

    Decode is one step of a micro-batch, prefill one prompt.
    """

    decode_flop: float
    decode_bytes: float
    prefill_flop: float
    prefill_bytes: float


@dataclass(frozen=True, slots=True)
class Operator:
    """Units of one kind and scheme in one phase (``decode`` or ``prefill``), one rank.

    ``flop`` and ``moved_bytes`` are of one pass over their layers, ``seconds`` the plan's time for
    it, communication included; ``peak_flop_per_s`` the dense peak of the format that multiplies.
    """

    kind: str
    scheme: str
    phase: str
    flop: float
    moved_bytes: float
    seconds: float
    peak_flop_per_s: float

    @property
    def intensity(self) -> float:
        """Operational intensity [FLOP/B]."""
        return self.flop / self.moved_bytes

    @property
    def flop_per_s(self) -> float:
        """Rate reached [FLOP/s]."""
        return self.flop / self.seconds


@dataclass(frozen=True, slots=True)
class Operators:
    """``roofs`` are (format, dense peak [FLOP/s]) in falling order; ``unplaced`` are kinds that
    multiply nothing."""

    bandwidth_bytes_per_s: float
    roofs: tuple[tuple[str, float], ...]
    points: tuple[Operator, ...]
    unplaced: tuple[str, ...]

    @property
    def peaks(self) -> list[tuple[float, list[str]]]:
        """(dense peak [FLOP/s], the formats that have it), the highest first."""
        formats: dict[float, list[str]] = {}
        for name, peak in self.roofs:
            formats.setdefault(peak, []).append(name)
        return list(formats.items())

    def share_of_roof(self, operator: Operator) -> float:
        """Rate reached over min(peak, intensity · bandwidth) [1]."""
        roof = min(operator.peak_flop_per_s, operator.intensity * self.bandwidth_bytes_per_s)
        return operator.flop_per_s / roof


def operators(question: Question, plan: Plan) -> Operators:
    """FLOP, bytes and times of ``plan``'s units by kind and scheme; ``question`` is its own. Decode
    workers of a plan in pools read no prompts.

    Raises:
        InputError: the plan's units do not belong to the question's model and device.
    """
    return _gathered(plan, question.device, unit_work(question, plan, load_prior()))


def _gathered(
    plan: Plan, device: DeviceProfile, counted: dict[tuple[str, tuple[int, ...]], OperatorCounts]
) -> Operators:
    groups: dict[tuple[str, str], list[UnitPlan]] = {}
    for unit in plan.units:
        if (unit.matrix, unit.layers) in counted:
            groups.setdefault((unit.kind, unit.scheme), []).append(unit)
    points, unplaced = [], []
    for (kind, scheme), units in groups.items():
        works = [counted[u.matrix, u.layers] for u in units]
        peak = _peak(units[0], device)
        decode = Operator(
            kind,
            scheme,
            "decode",
            sum(w.decode_flop for w in works),
            sum(w.decode_bytes for w in works),
            sum(u.decode_seconds for u in units),
            peak,
        )
        prompt = Operator(
            kind,
            scheme,
            "prefill",
            sum(w.prefill_flop for w in works),
            sum(w.prefill_bytes for w in works),
            sum(u.prefill_seconds for u in units),
            peak,
        )
        phases = (decode, prompt) if plan.deployment is None else (decode,)
        placed = [o for o in phases if o.flop > 0 and o.moved_bytes > 0 and o.seconds > 0]
        points += placed
        if not placed and kind not in unplaced:
            unplaced.append(kind)
    return Operators(
        device.bandwidth_bytes_per_s.value, _roofs(plan, device), tuple(points), tuple(unplaced)
    )


def _compute(unit: UnitPlan) -> str:
    """The format that multiplies: the scheme's; attention and what is kept run in 16 bits."""
    return (
        scheme_by_id(unit.scheme).compute
        if unit.kv_layout is None and unit.scheme in SCHEMES
        else SIXTEEN_BITS
    )


def _peak(unit: UnitPlan, device: DeviceProfile) -> float:
    """Dense peak of the unit's format; of 16 bits where a CPU widens it in software."""
    rate = device.rate(_compute(unit)) or device.rate(SIXTEEN_BITS)
    return rate.dense.value if rate is not None else 0.0


def _roofs(plan: Plan, device: DeviceProfile) -> tuple[tuple[str, float], ...]:
    """Dense peaks of the formats that the plan multiplies in, the highest first."""
    peaks = {
        name: rate.dense.value
        for name in {_compute(u) for u in plan.units}
        if (rate := device.rate(name)) is not None
    }
    return tuple(sorted(peaks.items(), key=lambda item: (-item[1], item[0])))


def unit_work(
    question: Question, plan: Plan, prior: Prior
) -> dict[tuple[str, tuple[int, ...]], OperatorCounts]:
    """{(kind and part, layers): counts} of the units of ``plan``, as they lie on its layout.

    Raises:
        InputError: the plan's units do not belong to the question's model and device.
    """
    memory = plan.memory_per_device
    roomy = replace(
        without_time_limits(question),
        device=unit_device(question.device),
        memory_bytes=None,
        capacity_bytes=max(question.capacity_bytes, memory.capacity_bytes),
        usable_bytes=max(question.usable_bytes, memory.total_bytes),
    )
    result = given_assignment(build_model(roomy, prior), plan)
    model = result.space.model
    out = {}
    for cost in price(result.space, result.candidate, result.segments).costs:
        unit, n = model.units[cost.segment.unit], cost.segment.count
        narrow = 1.0
        if unit.role == "cache" and kv_layout(model.choices[cost.segment.choice]).compute:
            narrow = NARROW_CACHE_FRACTION  # decode kernels of narrow caches keep a part of W
        out[unit.matrix, cost.segment.layers] = OperatorCounts(
            cost.decode["compute"] * n,
            cost.decode["memory"] * n * narrow,
            cost.prefill["compute"] * n,
            cost.prefill["memory"] * n,
        )
    return out


def unit_device(device: DeviceProfile) -> DeviceProfile:
    """``device`` with every rate and fraction 1, no floors, and no fitted kernels."""
    return replace(
        device,
        id=f"{device.id} (unit rates)",
        sha256=f"{device.sha256} (unit rates)",
        bandwidth_bytes_per_s=_set(device.bandwidth_bytes_per_s, 1.0),
        rates={key: _unit_rate(rate) for key, rate in device.rates.items()},
        achieved={key: _unit_fractions(a) for key, a in device.achieved.items()},
        fitted={},
        inherited={},
        silicon=None,
    )


def _unit_rate(rate: Rate) -> Rate:
    return replace(rate, dense=_set(rate.dense, 1.0))


def _unit_fractions(achieved: Achieved) -> Achieved:
    return Achieved(
        _set(achieved.compute_fraction, 1.0),
        _set(achieved.bandwidth_fraction, 1.0),
        _set(achieved.floor_seconds, 0.0),
    )


def _set(quantity: Quantity, value: float) -> Quantity:
    return replace(quantity, value=value, low=None, high=None)
