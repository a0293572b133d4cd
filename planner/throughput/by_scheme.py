"""Embedding, router and head in formats of a choice: where the rules that keep them are dropped.

Arrays [C, S]: candidates × schemes. With every module in BF16 the seconds are those of
:mod:`planner.throughput.fixed`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.placement.modules import Module
from planner.throughput.elementwise_kernels import elementwise
from planner.throughput.fixed import sampling_parts, top_k_parts
from planner.throughput.linear import Machine, dense_parts
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts

Array = NDArray[np.float64]
ROW_BYTES = 2.0
"""An element of the residual stream, as it is written."""


def embedding_by_scheme(
    spec: ModelSpec, device: DeviceProfile, pts: Points, phase: Phase, weight_bytes: Array
) -> Parts:
    """A gather of rows as they are stored; ``weight_bytes`` [C, S] of a rank's part of the
    table."""
    table_elements = spec.vocab_size * spec.hidden_size / pts.tp
    stored = weight_bytes / table_elements[:, None]
    moved = (phase.tokens * spec.hidden_size)[:, None] * (stored + ROW_BYTES)
    return elementwise(device, moved, 1).scaled(column(phase.passes))


def router_by_scheme(
    module: Module,
    machine: Machine,
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    weight_bytes: Array,
) -> Parts:
    """The router's product and the top-k kernel of one layer, seconds [N, C]."""
    return dense_parts(module, machine, pts, phase, weight_bytes).plus(
        top_k_parts(module, device, phase)
    )


def head_by_scheme(
    module: Module,
    spec: ModelSpec,
    machine: Machine,
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    weight_bytes: Array,
) -> Parts:
    """Output projection of the positions that are sampled, and sampling, seconds [N, C]."""
    rows = phase.logit_rows * phase.passes
    once = replace(phase, tokens=rows, passes=1.0)
    return dense_parts(module, machine, pts, once, weight_bytes).plus(
        sampling_parts(spec, machine, device, pts, rows)
    )
