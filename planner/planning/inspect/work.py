"""FLOP and bytes of every unit of a plan: the operators priced on a device of unit rates.

A roofline operator takes FLOP/(P·e_c) and bytes/(W·e_m) seconds. With P = W = e = 1, no floors and
no fitted kernels those seconds are the counts, so nothing is counted a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.formats.kv import kv_layout
from planner.hardware.profile import Achieved, DeviceProfile, Quantity, Rate
from planner.planning.inspect.assignment import given_assignment
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.question.question import Question
from planner.planning.space.model import build_model
from planner.quality.prior import Prior
from planner.throughput.attention import NARROW_CACHE_FRACTION


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of one pass of one rank over a unit's layers; ``moved_bytes`` through its memory.

    Decode is one step of a micro-batch, prefill one prompt.
    """

    decode_flop: float
    decode_bytes: float
    prefill_flop: float
    prefill_bytes: float


def unit_work(
    question: Question, plan: Plan, prior: Prior
) -> dict[tuple[str, tuple[int, ...]], Work]:
    """{(kind and part, layers): counts} of the units of ``plan``, as they lie on its layout.

    Raises:
        InputError: the plan's units do not belong to the question's model and device.
    """
    memory = plan.memory_per_device
    roomy = replace(
        question,
        device=unit_device(question.device),
        tpot_seconds=None,
        ttft_seconds=None,
        memory_bytes=None,
        capacity_bytes=max(question.capacity_bytes, memory.capacity_bytes),
        usable_bytes=max(question.usable_bytes, memory.total_bytes),
    )
    found = given_assignment(build_model(roomy, prior), plan)
    model = found.space.model
    out = {}
    for cost in price(found.space, found.candidate, found.segments).costs:
        unit, n = model.units[cost.segment.unit], cost.segment.count
        narrow = 1.0
        if unit.role == "cache" and kv_layout(model.choices[cost.segment.choice]).compute:
            narrow = NARROW_CACHE_FRACTION  # decode kernels of narrow caches keep a part of W
        out[unit.matrix, cost.segment.layers] = Work(
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


def _unit_fractions(found: Achieved) -> Achieved:
    return Achieved(
        _set(found.compute_fraction, 1.0),
        _set(found.bandwidth_fraction, 1.0),
        _set(found.floor_seconds, 0.0),
    )


def _set(quantity: Quantity, value: float) -> Quantity:
    return replace(quantity, value=value, low=None, high=None)
