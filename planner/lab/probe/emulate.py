"""Linear layers as a scheme computes them: weights and inputs rounded value by value.

BF16 activations count as exact: the released model runs in BF16, so that this rounding is part of
the reference. Dynamic scales see the whole batch (per tensor), one position (per token) or 1×128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.schemes import scheme as find_scheme
from planner.lab.probe.model import Floats, Linear, ProbeModel, exact
from planner.numerics import decode, encode, round_trip
from planner.numerics.engines import Engine


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How a unit is quantised.

    ``weights_only`` leaves inputs alone. ``static_amax``: one fixed scale for inputs, from the
    largest magnitude in a calibration text, instead of the scheme's dynamic scales.
    ``input_scale`` (inputs,): SmoothQuant factors s; inputs become x/s and weights W·s before both
    are rounded.
    """

    scheme: str
    weights_only: bool = False
    static_amax: float | None = None
    input_scale: Floats | None = None


@dataclass(frozen=True, slots=True)
class Rounded:
    """A unit ready to run: its rounded weights and its recipe."""

    weight: Floats
    recipe: Quantizer


def prepare(weight: Floats, recipe: Quantizer, engine: Engine = "numpy") -> Rounded:
    """Round the weights (outputs, inputs) of one unit."""
    w = weight if recipe.input_scale is None else weight * recipe.input_scale
    return Rounded(
        round_trip(w, recipe.scheme, engine=_engine(recipe.scheme, "weight", engine)), recipe
    )


def rounded_inputs(x: Floats, recipe: Quantizer, engine: Engine = "numpy") -> Floats:
    """Inputs [..., inputs] as the multiplication sees them."""
    fmt = find_scheme(recipe.scheme).activation
    if recipe.input_scale is not None:
        x = x / recipe.input_scale
    if recipe.weights_only or fmt.scale is None:
        return x
    flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
    if recipe.static_amax is not None:
        return _static(flat, fmt.element, recipe.static_amax).reshape(x.shape)
    engine = _engine(recipe.scheme, "activation", engine)
    return round_trip(flat, recipe.scheme, role="activation", engine=engine).reshape(x.shape)


def apply(unit: Rounded, x: Floats, engine: Engine = "numpy") -> Floats:
    """Outputs [..., outputs] of a rounded unit, products summed in float32."""
    return rounded_inputs(x, unit.recipe, engine) @ unit.weight.T


def emulated(model: ProbeModel, units: Mapping[str, Rounded], engine: Engine = "numpy") -> Linear:
    """Linear layers of ``model`` with ``units`` replaced."""
    plain = exact(model)

    def run(name: str, x: Any) -> Any:
        unit = units.get(name)
        return plain(name, x) if unit is None else apply(unit, x, engine)

    return run


def output_error(x: Floats, weight: Floats, unit: Rounded, engine: Engine = "numpy") -> Floats:
    """ΔY = X̂·(Ŵ−W)ᵀ + (X̂−X)·Wᵀ (positions, outputs); differences come before products.

    With SmoothQuant, X̂ and Ŵ are those after scaling back.
    """
    s = unit.recipe.input_scale
    x_hat = rounded_inputs(x, unit.recipe, engine)
    w_hat = unit.weight
    if s is not None:
        x_hat, w_hat = x_hat * s, w_hat / s
    change: Floats = x_hat @ (w_hat - weight).T
    if x_hat is not x:
        change += (x_hat - x) @ weight.T
    return change


def power(x: Floats) -> float:
    """Sum of squares of an array of any shape, in float64."""
    return float(np.einsum("ij,ij->", x, x, dtype=np.float64, casting="safe"))


def smooth_factors(x_amax: Floats, weights: list[Floats], strength: float) -> Floats:
    """s_j = max|X_j|^a / max|W_j|^(1−a) of units that share an input; 1 where a channel is zero.

    ``strength`` is a. Source: SmoothQuant (arXiv:2211.10438), equation 4.

    Raises:
        InputError: ``strength`` is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"SmoothQuant strength {strength}", hint="between 0 and 1; 0.5 is usual")
    w_amax = np.max([np.abs(w).max(axis=0) for w in weights], axis=0)
    usable = (x_amax > 0) & (w_amax > 0)
    s = np.ones_like(x_amax)
    s[usable] = x_amax[usable] ** strength / w_amax[usable] ** (1 - strength)
    return s.astype(np.float32)


def _static(x: Floats, element_id: str, amax: float) -> Floats:
    """One scale for every position; what exceeds amax saturates."""
    if element_id not in ("e4m3fn", "int8"):
        raise UnsupportedError(
            f"no static activation scales for {element_id}",
            hint="schemes with E4M3 or INT8 activations have them",
        )
    if amax <= 0:
        raise InputError(
            f"a static scale from a largest magnitude of {amax}",
            hint="measure it on activations that are not all 0",
        )
    top = element(element_id).max_finite
    scale = np.float32(amax / top)
    codes = encode(np.clip(x / scale, -top, top), element_id)
    return decode(codes, element_id) * scale


def _engine(scheme: str, role: str, engine: Engine) -> Engine:
    """numba has no kernel for plain floats and ggml blocks: those stay with numpy, same bits."""
    recipe = find_scheme(scheme)
    fmt = recipe.weight if role == "weight" else recipe.activation
    return "numpy" if fmt.scale is None or fmt.block_bytes is not None else engine
