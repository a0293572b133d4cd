"""Figures of results: functions that take a result and return matplotlib Axes.

Axes are named with their units, lines are 80 % intervals, and the picture in a notebook carries its
title and in words what it shows, for screen readers. ``ax=`` draws on axes of your own. pyplot is
never used; axes that a notebook's cell ends with are shown. Functions and matplotlib are loaded on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.plot.assigned import fleet
    from planner.plot.comparison import compare
    from planner.plot.deployment import serving
    from planner.plot.device_bytes import memory
    from planner.plot.experts import residency
    from planner.plot.inventory import tensor_bytes
    from planner.plot.loss_map import sensitivity
    from planner.plot.numerics import layer_errors
    from planner.plot.plan import formats, time, uniform
    from planner.plot.priced import roofline, users
    from planner.plot.swept import sweep
    from planner.plot.tradeoff import frontier, phase_map
    from planner.plot.validation import validation_errors
    from planner.plot.weighed import alternatives

# No file here has the name of a function: importing one would put the module in its place.
_WHERE = {
    "alternatives": "weighed",
    "compare": "comparison",
    "fleet": "assigned",
    "sweep": "swept",
    "formats": "plan",
    "time": "plan",
    "uniform": "plan",
    "memory": "device_bytes",
    "roofline": "priced",
    "users": "priced",
    "sensitivity": "loss_map",
    "frontier": "tradeoff",
    "phase_map": "tradeoff",
    "serving": "deployment",
    "residency": "experts",
    "tensor_bytes": "inventory",
    "layer_errors": "numerics",
    "validation_errors": "validation",
}
__all__ = [
    "alternatives",
    "compare",
    "fleet",
    "formats",
    "frontier",
    "layer_errors",
    "memory",
    "phase_map",
    "residency",
    "roofline",
    "sensitivity",
    "serving",
    "sweep",
    "tensor_bytes",
    "time",
    "uniform",
    "users",
    "validation_errors",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from planner.errors import needs

        needs("matplotlib", extra="plot")
        return getattr(importlib.import_module(f"planner.plot.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'planner.plot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
