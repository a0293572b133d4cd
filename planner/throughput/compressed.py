"""What compressed attention runs beside its core and its products, by its bytes, Parts [C, 1].

Queries are normed by head, rotated and padded, with the cache write in the same kernel; results are
rotated back and narrowed to FP8 for the output's products. A prompt widens the entries that it
reads to BF16 first: those of the cache, and its own window. Sources: vLLM 0.32,
models/deepseek_v4/attention.py (_fused_qnorm_rope_kv_insert), nvidia/flashmla.py
(_forward_prefill), common/ops/fused_inv_rope_fp8_quant.py. None of it is in an operator table.
"""

from __future__ import annotations

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.throughput.elementwise_kernels import elementwise
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts

QUERY_BYTES = 7.0
"""An element of a query in and out, 2 B each, of its result in, and out in FP8."""
WIDENED_BYTES = 2.0
KERNELS = 1
"""Launches beside the rotary kernel that every attention layer is charged."""


def overlapped_core(
    attention: Attention, device: DeviceProfile, pts: Points, phase: Phase, entry_bytes: float
) -> Parts:
    """One layer of attention of kind csa, hca or swa; ``entry_bytes`` of a cached entry."""
    heads = attention.heads / pts.tp
    moved = phase.tokens * heads * attention.head_dim * QUERY_BYTES
    launches = float(KERNELS)
    if phase.name == "prefill":
        pooled = 0.0 if attention.kind == "swa" else phase.kv_len / attention.ratio
        read = (pooled + phase.kv_len) / phase.passes * np.ones(len(pts))
        moved = moved + read * (entry_bytes + attention.head_dim * WIDENED_BYTES)
        launches += 1.0 if attention.kind == "swa" else 2.0
    return elementwise(device, moved, launches).scaled(column(phase.passes))
