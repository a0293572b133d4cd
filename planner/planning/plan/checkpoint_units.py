"""The units of a plan that its checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.planning.plan.record import Plan, UnitPlan


def checkpoint_units(units: Sequence[UnitPlan]) -> tuple[UnitPlan, ...]:
    """``units`` with every layer of a matrix once: experts that a host keeps in a scheme of their
    own, beside others of the same layer on the device, are weights of another folder."""
    here = {(unit.matrix, layer) for unit in units if not unit.place for layer in unit.layers}
    return tuple(
        unit
        for unit in units
        if not unit.place or any((unit.matrix, n) not in here for n in unit.layers)
    )


def all_on_device(plan: Plan, what: str) -> None:
    """Refuse a plan with weights in host memory for ``what``, which counts the device alone.

    Raises:
        UnsupportedError: it has some.
    """
    if plan.offload is not None:
        raise UnsupportedError(
            f"{what}: the plan keeps weights in the memory of "
            f"{plan.offload.host}, which is not counted here",
            hint="`plan estimate --plan` prices such a plan",
        )


def in_checkpoint(plan: Plan) -> Plan:
    """``plan`` with its :func:`checkpoint_units`."""
    if plan.offload is None or plan.offload.places != "experts":
        return plan
    return replace(plan, units=checkpoint_units(plan.units))
