"""Figures of the device that a plan rests on, each with its unit, kind, source and date."""

from __future__ import annotations

from dataclasses import dataclass

from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile, Quantity
from planner.planning.inspect.roofline import SIXTEEN_BITS
from planner.planning.plan.record import Plan


@dataclass(frozen=True, slots=True)
class Premise:
    """One figure: ``name`` is ``bandwidth``, ``capacity``, ``usable``, ``rate``, ``compute-share``,
    ``bandwidth-share``, ``scale-up``, ``scale-out`` or ``price``; ``of`` the format or kernel class
    it is for. ``source`` is a key of the plan's sources, empty where the file has none."""

    name: str
    of: str
    value: float
    unit: str
    kind: str
    source: str
    date: str


def premises(plan: Plan, device: DeviceProfile) -> tuple[Premise, ...]:
    """What of ``device`` the plan's bytes and seconds rest on, apart from fitted kernels."""
    out = [
        _premise("bandwidth", "", device.bandwidth_bytes_per_s),
        _premise("capacity", "", device.capacity_bytes),
        _premise("usable", "", device.usable_fraction),
    ]
    linear = {u.scheme for u in plan.units if u.kv_layout is None and u.scheme in SCHEMES}
    formats = {SIXTEEN_BITS} | {scheme_by_id(name).compute for name in linear}
    for name in sorted(formats):
        rate = device.rate(name)
        if rate is not None:
            out.append(_premise("rate", name, rate.dense))
    classes = {scheme_by_id(name).kernel for name in linear} | {
        "attention-prefill",
        "attention-decode",
        "elementwise",
    }
    for name in sorted(classes & set(device.achieved)):
        out.append(_premise("compute-share", name, device.achieved[name].compute_fraction))
        out.append(_premise("bandwidth-share", name, device.achieved[name].bandwidth_fraction))
    ranks = plan.device.count // max(plan.layout.replicas, 1)
    for name, link, used in (
        ("scale-up", device.links.scale_up_bytes_per_s, ranks > 1),
        ("scale-out", device.links.scale_out_bytes_per_s, ranks > device.scale_up_devices),
    ):
        if used and link is not None:
            out.append(_premise(name, "", link))
    if device.price_usd_per_hour is not None:
        out.append(_premise("price", "", device.price_usd_per_hour))
    return tuple(out)


def _premise(name: str, of: str, quantity: Quantity) -> Premise:
    return Premise(
        name, of, quantity.value, quantity.unit, quantity.kind, quantity.source, quantity.date
    )
