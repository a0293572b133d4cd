"""What would serve a model that a device does not hold: another engine, or other devices."""

from __future__ import annotations

from collections.abc import Iterable

from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import engine_names
from planner.memory.usable import usable_memory
from planner.planning.infeasible.case import Unserved
from planner.planning.infeasible.feasible import any_plan
from planner.throughput.calibration import ANY_ENGINE

COUNTS = (1, 2, 4, 8)
TRIALS = 40
"""Candidates that are looked at: those with the least memory that could be enough."""
SLACK = 0.8
"""Share of the bytes needed here below which another device is not looked at: its formats may be
smaller, and fewer ranks keep fewer buffers."""


def larger_devices(case: Unserved, devices: Iterable[DeviceProfile], total: int) -> str:
    """``8 × h100-sxm``: other devices with a plan for the question, the least memory of those that
    could hold it; ``total`` bytes are needed here over all ranks. Empty where none is found among
    them."""
    own = case.first.device.id
    able = sorted(
        (usable_memory(d).bytes * count, count, d.id, d)
        for d in devices
        for count in COUNTS
        if d.kind != "cpu"
        and d.status == "released"
        and d.id != own
        and (count <= d.scale_up_devices or d.links.scale_out_bytes_per_s is not None)
        and usable_memory(d).bytes * count >= SLACK * total
    )
    for _, count, name, device in able[:TRIALS]:
        if any_plan(case.at({"device": device, "devices": count})):
            return f"{count} × {name}"
    return ""


def other_engine(case: Unserved) -> str:
    """Another engine with a plan for the question, ``any`` the last; empty where none has."""
    for name in (*engine_names(), ANY_ENGINE):
        if name != case.first.engine and any_plan(case.at({"engine": name})):
            return name
    return ""
