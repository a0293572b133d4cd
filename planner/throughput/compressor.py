"""Compressing the past of compressed attention: what runs before a window and its entries are read.

Every token is projected to a key and a gate of each entry it takes part in (one BF16 product into
FP32), which join the partial sums of a sequence; a group of tokens that is full is pooled, normed,
rotated and written to the cache. Source: vLLM 0.32, models/deepseek_v4/compressor.py and
common/ops (save_partial_states, fused_compress_quant_cache).

    t = product + (bytes)/(e_m·W) + 2·t_e,   bytes = tokens·PASSES·4·outputs

No table measures these kernels: their bytes at the fractions of elementwise ones stand for them.
"""

from __future__ import annotations

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.placement.modules import Module
from planner.throughput.elementwise_kernels import elementwise
from planner.throughput.fixed import plain_gemm
from planner.throughput.linear import Machine
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts

FP32_BYTES = 4.0
PASSES = 3
"""Times that a token's FP32 key and gate pass through memory: out of the product, into the partial
sums, and out of them where a group is pooled."""
KERNELS = 2
"""Launches beside the product: the partial sums, the pooling with its write."""


def compressor_parts(
    module: Module, machine: Machine, device: DeviceProfile, pts: Points, phase: Phase
) -> Parts:
    """One layer's compressor, the same on every rank, Parts [C, 1]."""
    outputs = sum(rows for rows, _ in module.gemms[0].members)
    inputs = module.gemms[0].inputs
    product = plain_gemm(
        device,
        machine,
        phase.tokens,
        np.full(len(pts), float(outputs)),
        float(inputs),
        np.full(len(pts), 2.0 * outputs * inputs),
    )
    moved = phase.tokens * PASSES * FP32_BYTES * outputs
    return product.plus(elementwise(device, moved, KERNELS)).scaled(column(phase.passes))
