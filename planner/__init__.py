"""Per-layer precision plans for LLM inference: what fits, how fast, at what loss, on which device.

The public functions are loaded on first use, so that ``import planner`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.api import (
        estimate,
        inventory,
        layer_error,
        load_device,
        load_model,
        load_scenario,
        plan,
    )
    from planner.api_claims import claims
    from planner.api_diff import diff
    from planner.api_experts import experts
    from planner.api_explain import explain
    from planner.api_export import export_plan, import_plan
    from planner.api_frontier import frontier
    from planner.api_profile import profile
    from planner.api_serve import serve
    from planner.api_sweep import sweep
    from planner.api_training import train
    from planner.api_what_if import what_if
    from planner.planning.plan import Plan
    from planner.validation.run import validate

__version__ = "0.1.0"

_WHERE = {
    "plan": "planner.api", "estimate": "planner.api", "inventory": "planner.api",
    "layer_error": "planner.api", "train": "planner.api_training",
    "experts": "planner.api_experts", "explain": "planner.api_explain",
    "claims": "planner.api_claims", "diff": "planner.api_diff", "frontier": "planner.api_frontier",
    "profile": "planner.api_profile",
    "serve": "planner.api_serve", "sweep": "planner.api_sweep",
    "what_if": "planner.api_what_if",
    "export_plan": "planner.api_export", "import_plan": "planner.api_export",
    "load_model": "planner.api", "load_device": "planner.api", "load_scenario": "planner.api",
    "Plan": "planner.planning.plan",
    "validate": "planner.validation.run",
}
__all__ = ["Plan", "__version__", "claims", "diff", "estimate", "experts", "explain",
           "export_plan", "frontier", "import_plan", "inventory", "layer_error", "load_device",
           "load_model", "load_scenario", "plan", "profile", "serve", "sweep", "train",
           "validate", "what_if"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'planner' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
