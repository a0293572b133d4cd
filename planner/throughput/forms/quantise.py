"""Kernels that narrow activations to FP8: the maximum's pass, and the conversion.

    t = t0 + B / (e_m·W)·(φ + (1 − φ)/r2),   φ = 1 / (1 + (B / (λ·L2))⁻⁴)

B = 2·m·k bytes for ``compute-scale`` (read BF16, keep one maximum), 3·m·k for ``scale-matrix``
(read BF16, write FP8); W bandwidth, L2 the cache. A tensor that was just written is in L2 where it
fits, in serving as well: these kernels follow the one that made it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.throughput.forms.base import Parameter, Parameters, cache_miss_share
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

BYTES = {"compute-scale": 2.0, "scale-matrix": 3.0}
"""Bytes an element by variant."""

PARAMETERS = (
    Parameter("launch_seconds", 3e-6, 0.5e-6, 4e-5, unit="s", device=True),
    Parameter("bandwidth_fraction", 0.6, 0.05, 1.0, device=True),
    Parameter("l2_share", 0.7, 0.2, 2.0),
    Parameter("l2_speed", 1.7, 1.0, 6.0),
)


def quantise_parts(
    parameters: Parameters, chip: Chip, variant: str, *, m: Array, k: Array, cold: bool
) -> Parts:
    """Seconds by mechanism, arrays of the shape that ``m`` × ``k`` activations broadcast to.

    ``cold``: the activations come from memory.
    """
    moved = BYTES[variant] * m * k
    missed = (
        np.ones(np.shape(moved))
        if cold
        else cache_miss_share(moved, parameters["l2_share"] * chip.l2_bytes, 4.0)
    )
    time = (
        moved
        / (parameters["bandwidth_fraction"] * chip.bandwidth)
        * (missed + (1.0 - missed) / parameters["l2_speed"])
    )
    blank = np.zeros(())
    return parts(
        compute=blank, memory=time, launch=np.asarray(parameters["launch_seconds"]), busy=time
    )
