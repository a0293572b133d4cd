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
    from planner.plot.functions import (
        alternatives,
        compare,
        fleet,
        formats,
        frontier,
        layer_errors,
        memory,
        phase_map,
        residency,
        roofline,
        sensitivity,
        serving,
        sweep,
        tensor_bytes,
        time,
        uniform,
        users,
        validation_errors,
    )

# No file here has the name of a function: importing one would put the module in its place.
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
    if name in __all__:
        from planner.base.errors import needs

        needs("matplotlib", extra="plot")
        return getattr(importlib.import_module("planner.plot.functions"), name)
    raise AttributeError(f"module 'planner.plot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
