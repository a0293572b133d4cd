"""Per-layer precision plans for LLM inference: what fits, how fast, at what loss, on which device.

The public functions are loaded on first use, so that ``import planner`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from planner.base import display

if TYPE_CHECKING:
    from planner import plot
    from planner.api.capacity import capacity
    from planner.api.claims import claims
    from planner.api.compare import compare
    from planner.api.diff import diff
    from planner.api.engine import engine, engines
    from planner.api.estimate import estimate
    from planner.api.experts import experts
    from planner.api.explain import explain
    from planner.api.export import export_plan, import_plan
    from planner.api.fit import fit
    from planner.api.fleet import fleet
    from planner.api.frontier import frontier
    from planner.api.learn import learn
    from planner.api.make import make
    from planner.api.measure import measure
    from planner.api.memory import memory_use
    from planner.api.numerics import layer_error
    from planner.api.plan import plan
    from planner.api.profile import profile
    from planner.api.published_files import published_files
    from planner.api.replay import replay
    from planner.api.sensitivity import sensitivity
    from planner.api.serve import serve
    from planner.api.sweep import sweep
    from planner.api.train import train
    from planner.api.validate import validate
    from planner.api.verify import verify
    from planner.api.what_if import what_if
    from planner.base.errors import (
        DataError,
        InfeasibleError,
        InputError,
        MissingPackageError,
        PlannerError,
        SolverError,
        UnknownNameError,
        UnsupportedError,
    )
    from planner.hardware.profile import DeviceProfile
    from planner.lookup import inventory, load_device, load_model, load_workload
    from planner.models.spec import ModelSpec
    from planner.planning.plan.file import read_plan
    from planner.planning.plan.record import Plan
    from planner.planning.question.scenario import Scenario
    from planner.planning.question.scenarios import load_scenario

__version__ = "0.2.0"

_RESULTS = "planner.report.render.results"
_WHERE = {
    "plan": "planner.api.plan",
    "engine": "planner.api.engine",
    "engines": "planner.api.engine",
    "estimate": "planner.api.estimate",
    "inventory": "planner.lookup",
    "layer_error": "planner.api.numerics",
    "train": "planner.api.train",
    "experts": "planner.api.experts",
    "explain": "planner.api.explain",
    "capacity": "planner.api.capacity",
    "claims": "planner.api.claims",
    "compare": "planner.api.compare",
    "diff": "planner.api.diff",
    "fit": "planner.api.fit",
    "fleet": "planner.api.fleet",
    "frontier": "planner.api.frontier",
    "memory_use": "planner.api.memory",
    "learn": "planner.api.learn",
    "make": "planner.api.make",
    "measure": "planner.api.measure",
    "profile": "planner.api.profile",
    "published_files": "planner.api.published_files",
    "replay": "planner.api.replay",
    "sensitivity": "planner.api.sensitivity",
    "serve": "planner.api.serve",
    "sweep": "planner.api.sweep",
    "verify": "planner.api.verify",
    "what_if": "planner.api.what_if",
    "export_plan": "planner.api.export",
    "import_plan": "planner.api.export",
    "load_model": "planner.lookup",
    "load_device": "planner.lookup",
    "load_scenario": "planner.planning.question.scenarios",
    "load_workload": "planner.lookup",
    "read_plan": "planner.planning.plan.file",
    "Plan": "planner.planning.plan.record",
    "ModelSpec": "planner.models.spec",
    "DeviceProfile": "planner.hardware.profile",
    "Scenario": "planner.planning.question.scenario",
    **dict.fromkeys(
        (
            "PlannerError",
            "InputError",
            "UnknownNameError",
            "UnsupportedError",
            "DataError",
            "MissingPackageError",
            "InfeasibleError",
            "SolverError",
        ),
        "planner.base.errors",
    ),
    "validate": "planner.api.validate",
}
__all__ = [
    "DataError",
    "DeviceProfile",
    "InfeasibleError",
    "InputError",
    "MissingPackageError",
    "ModelSpec",
    "Plan",
    "PlannerError",
    "Scenario",
    "SolverError",
    "UnknownNameError",
    "UnsupportedError",
    "__version__",
    "capacity",
    "claims",
    "compare",
    "diff",
    "engine",
    "engines",
    "estimate",
    "experts",
    "explain",
    "export_plan",
    "fit",
    "fleet",
    "frontier",
    "import_plan",
    "inventory",
    "layer_error",
    "learn",
    "load_device",
    "load_model",
    "load_scenario",
    "load_workload",
    "make",
    "measure",
    "memory_use",
    "plan",
    "plot",
    "profile",
    "published_files",
    "read_plan",
    "replay",
    "sensitivity",
    "serve",
    "sweep",
    "train",
    "validate",
    "verify",
    "what_if",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in ("plot", "errors"):
        return importlib.import_module(f"planner.{name}")
    raise AttributeError(f"module 'planner' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Layers:
    """How results are shown: each function is loaded when one is."""

    def text(self, result: Any) -> str:
        return str(importlib.import_module(_RESULTS).text_of(result))

    def cell(self, result: Any) -> str:
        return str(importlib.import_module(_RESULTS).cell_of(result))

    def table(self, frame: Any) -> str:
        return str(importlib.import_module(_RESULTS).table_of(frame))

    def figure(self, name: str) -> Any:
        return getattr(importlib.import_module("planner.plot"), name)

    def plan(self, data: Any) -> Any:
        return importlib.import_module("planner.planning.plan.file").read_plan(data)


display.register(_Layers())
