"""How inputs are scaled where a scheme leaves a choice: static scales, and SmoothQuant.

A static scale is one number a unit, from the largest magnitude on a calibration text; serving does
not look at the inputs again, and clips what exceeds it. SmoothQuant (arXiv:2211.10438) moves the
range of input channels into the weights, where the factors fold into the norm before the unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.base.errors import InputError
from planner.lab.probe.emulate import Quantizer, smooth_factors
from planner.lab.probe.loader import layer_inputs
from planner.lab.probe.model import Floats, ProbeModel, Tokens

STATIC = ("fp8-tensor", "int8-w8a8")
"""Schemes that engines serve with static scales of inputs."""
SMOOTHED = ("int8-w8a8",)
BEHIND_A_NORM = ("attention-qkv", "mlp-gate-up")
"""Kinds whose inputs come from a norm; those of attention-out and mlp-down come from products."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """``static``: fixed scales for the schemes in STATIC; ``smoothquant``: strength for those in
    SMOOTHED, None for none."""

    static: bool = False
    smoothquant: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a strength outside 0 to 1."""
        if self.smoothquant is not None and not 0 <= self.smoothquant <= 1:
            raise InputError(
                f"smoothquant = {self.smoothquant:g} is out of range",
                hint="a strength from 0 to 1; 0.5 is usual",
            )

    def changes(self, scheme: str) -> bool:
        """Whether ``scheme`` is emulated otherwise than with its dynamic scales."""
        return (self.static and scheme in STATIC) or (
            self.smoothquant is not None and scheme in SMOOTHED
        )

    @property
    def text(self) -> str:
        """For a person; empty for the schemes' own dynamic scales."""
        parts = [f"static scales of inputs in {' and '.join(STATIC)}"] if self.static else []
        if self.smoothquant is not None:
            parts.append(
                f"SmoothQuant {self.smoothquant:g} in {' and '.join(SMOOTHED)}, for "
                f"{' and '.join(BEHIND_A_NORM)}"
            )
        return "; ".join(parts)


def input_amax(model: ProbeModel, tokens: Tokens) -> dict[str, Floats]:
    """Largest magnitude (inputs,) of each input channel of every unit on a calibration text."""
    return {u: np.abs(x).max(axis=0) for u, x in layer_inputs(model, tokens)}


def recipes(
    model: ProbeModel, scheme: str, options: InputOptions, amax: Mapping[str, Floats]
) -> dict[str, Quantizer]:
    """The recipe of every unit under ``scheme``; ``amax`` of :func:`input_amax` is read only where
    the options change the scheme."""
    if not options.changes(scheme):
        return {u.id: Quantizer(scheme) for u in model.units}
    fixed = options.static and scheme in STATIC
    plan = {
        u.id: Quantizer(scheme, static_amax=float(amax[u.id].max()) if fixed else None)
        for u in model.units
    }
    if options.smoothquant is not None and scheme in SMOOTHED:
        plan |= _smoothed(model, scheme, options.smoothquant, amax, fixed)
    return plan


def _smoothed(
    model: ProbeModel, scheme: str, strength: float, amax: Mapping[str, Floats], fixed: bool
) -> dict[str, Quantizer]:
    """Units that share an input share its factors."""
    groups: dict[str, list[str]] = {}
    for unit in model.units:
        if unit.kind in BEHIND_A_NORM:
            groups.setdefault(unit.group, []).append(unit.id)
    plan: dict[str, Quantizer] = {}
    for members in groups.values():
        largest = amax[members[0]].astype(np.float32)
        s = smooth_factors(largest, [model.weight(u) for u in members], strength)
        top = float((largest / s).max()) if fixed else None
        plan |= {u: Quantizer(scheme, static_amax=top, input_scale=s) for u in members}
    return plan
