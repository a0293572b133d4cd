"""One pool of a plan as a plan of its own: a worker's layout, batch and units, no other pool."""

from __future__ import annotations

from dataclasses import replace

from planner.formats.kv import KV_LAYOUTS
from planner.messages.message import message
from planner.planning.plan.deployment import DeploymentInfo, PoolUnit
from planner.planning.plan.record import DeviceInfo, LayoutInfo, Plan, UnitPlan


def decode_side(plan: Plan) -> Plan:
    """``plan`` with the devices of its decode workers alone; ``plan`` itself where its workers do
    both."""
    pools = plan.deployment
    if pools is None:
        return plan
    pool = pools.decode
    return replace(
        plan,
        deployment=None,
        device=replace(plan.device, count=pool.workers * pool.devices_per_worker),
    )


def prefill_side(plan: Plan, pools: DeploymentInfo) -> Plan:
    """The prefill workers with what was decided for them; times and bytes are not in the file. A
    prefill rank reads one prompt: the batch is its smallest."""
    pool = pools.prefill
    la = pool.layout
    device = plan.device if pool.device == plan.device.id else DeviceInfo(pool.device, 0, "")
    return replace(
        plan,
        deployment=None,
        device=replace(device, count=pool.workers * pool.devices_per_worker),
        layout=LayoutInfo(la.tp, la.dp, la.pp, la.ep, pool.workers),
        workload=replace(plan.workload, batch=la.dp * la.pp),
        units=tuple(_unit(unit) for unit in pool.units),
    )


def _unit(unit: PoolUnit) -> UnitPlan:
    layout = unit.scheme if unit.scheme in KV_LAYOUTS and unit.kind.startswith("kv-") else None
    return UnitPlan(
        unit.matrix,
        unit.kind,
        unit.layers,
        1,
        unit.scheme,
        None,
        None,
        0,
        0,
        0.0,
        0.0,
        "",
        0.0,
        message("assumptions.given"),
        None,
        layout,
        unit.part,
    )
