"""Small kernels of compressed attention: those that compress its past, and those around its core.

Compressing: every token is projected to a key and a gate of each entry it takes part in (one BF16
product into FP32), which join the partial sums of a sequence; a group of tokens that is full is
pooled, normed, rotated and written to the cache. Source: vLLM 0.32,
models/deepseek_v4/compressor.py and common/ops (save_partial_states, fused_compress_quant_cache).

    t = product + (bytes)/(e_m·W) + 2·t_e,   bytes = tokens·PASSES·4·outputs

Around the core: queries are normed by head, rotated and padded, with the cache write in the same
kernel; results are rotated back and narrowed to FP8 for the output's products. A prompt widens the
entries that it reads to BF16 first: those of the cache, and its own window. Sources: vLLM 0.32,
models/deepseek_v4/attention.py (_fused_qnorm_rope_kv_insert), nvidia/flashmla.py
(_forward_prefill), common/ops/fused_inv_rope_fp8_quant.py.

No table measures these kernels: their bytes at the fractions of elementwise ones stand for them.
"""

from __future__ import annotations

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
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
COMPRESSOR_KERNELS = 2
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
    return product.plus(elementwise(device, moved, COMPRESSOR_KERNELS)).scaled(column(phase.passes))


QUERY_BYTES = 7.0
"""An element of a query in and out, 2 B each, of its result in, and out in FP8."""
WIDENED_BYTES = 2.0
CORE_KERNELS = 1
"""Launches beside the rotary kernel that every attention layer is charged."""


def overlapped_core(
    attention: Attention, device: DeviceProfile, pts: Points, phase: Phase, entry_bytes: float
) -> Parts:
    """One layer of attention of kind csa, hca or swa; ``entry_bytes`` of a cached entry."""
    heads = attention.heads / pts.tp
    moved = phase.tokens * heads * attention.head_dim * QUERY_BYTES
    launches = float(CORE_KERNELS)
    if phase.name == "prefill":
        pooled = 0.0 if attention.kind == "swa" else phase.kv_len / attention.ratio
        read = (pooled + phase.kv_len) / phase.passes * np.ones(len(pts))
        moved = moved + read * (entry_bytes + attention.head_dim * WIDENED_BYTES)
        launches += 1.0 if attention.kind == "swa" else 2.0
    return elementwise(device, moved, launches).scaled(column(phase.passes))
