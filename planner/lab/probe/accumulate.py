"""What a matrix unit's accumulator adds to a layer's error, on real weights and inputs.

Bit-exact products are slow, so that a sample of positions and outputs is multiplied, over all
inputs; the sample is quantised as a matrix of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnsupportedError
from planner.formats.schemes import scheme as find_scheme
from planner.lab.probe.model import Floats
from planner.numerics import quantize
from planner.numerics.unit_catalog import unit as find_unit
from planner.quality.unit_products import through_unit


@dataclass(frozen=True, slots=True)
class AccumulatorError:
    """Relative output error powers on the sample: of rounding alone, through the unit, and what
    the unit adds to the exact product of the same operands."""

    rounding: float
    total: float
    added: float


def accumulator_error(
    x: Floats,
    weight: Floats,
    scheme: str,
    *,
    unit: str,
    promote: int | None,
    positions: int = 16,
    outputs: int = 32,
) -> AccumulatorError:
    """Errors of one layer through ``unit``.

    Args:
        x: (positions, inputs) inputs; weight: (outputs, inputs).
        promote: inputs after which partial sums leave the unit; None: the instruction chain alone.
    Raises UnsupportedError where the unit cannot multiply the scheme's operands.
    """
    recipe, matrix_unit = find_scheme(scheme), find_unit(unit)
    x = np.ascontiguousarray(x[_spread(len(x), positions)])
    weight = np.ascontiguousarray(weight[_spread(len(weight), outputs)])
    scaled = recipe.activation.scale is not None
    qx = quantize(x, scheme, role="activation") if scaled else None
    qw = quantize(weight, scheme)
    x_hat = x if qx is None else qx.dequantize()
    result = through_unit(recipe, x_hat, qw.dequantize(), qx, qw, matrix_unit, promote)
    if result is None:
        raise UnsupportedError(
            f"{unit} does not multiply the operands of {scheme}"
            + ("" if promote is None else f", promoted every {promote}"),
            hint="`plan lab numerics --list-units` lists the units and what they multiply",
        )
    y, rounded = result
    exact = x.astype(np.float64) @ weight.astype(np.float64).T
    power = float(np.sum(exact * exact))
    return AccumulatorError(
        *(
            float(np.sum((a - b) ** 2)) / power
            for a, b in ((rounded, exact), (y, exact), (y, rounded))
        )
    )


def _spread(size: int, count: int) -> npt.NDArray[np.int64]:
    """At most ``count`` places, evenly over ``size``."""
    count = min(size, count)
    return np.arange(count) * size // count
