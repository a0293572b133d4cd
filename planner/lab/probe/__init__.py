"""What quantisation does to a real model that runs here: activations, losses, sensitivities.

Models are small and run in float32 on the CPU. Names are loaded on first use, so that importing
this package does not import numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.lab.probe.loader import activations, load_probe_model
    from planner.lab.probe.measure import Reference, make_reference, measured_loss, unit_losses
    from planner.lab.probe.model import LinearUnit, Loss, ProbeModel

_HOME = {
    "activations": "loader", "load_probe_model": "loader", "Reference": "measure",
    "make_reference": "measure", "measured_loss": "measure", "unit_losses": "measure",
    "LinearUnit": "model", "Loss": "model", "ProbeModel": "model",
}  # fmt: skip

__all__ = ["LinearUnit", "Loss", "ProbeModel", "Reference", "activations", "load_probe_model",
           "make_reference", "measured_loss", "unit_losses"]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
