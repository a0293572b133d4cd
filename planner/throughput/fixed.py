"""Operators that no scheme changes: embedding, router, head.

Arrays [C, 1]. Bytes follow the unfused kernels that engines run between the GEMMs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.placement.modules import Module
from planner.throughput.collectives import gather, point_to_point
from planner.throughput.elementwise_kernels import elementwise
from planner.throughput.linear import Machine
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, communication_only, operator

Array = NDArray[np.float64]
SAMPLING_PASSES = 3
"""Passes over the FP32 logits: temperature, softmax statistics, choice."""


def embedding_parts(spec: ModelSpec, device: DeviceProfile, phase: Phase) -> Parts:
    """One gather of rows, and the pipeline hops of the step (pp − 1 sends of the residual)."""
    row = phase.tokens * spec.hidden_size * 2.0
    return elementwise(device, 2 * row, 1).scaled(column(phase.passes))


def pipeline_seconds(spec: ModelSpec, machine: Machine, pts: Points, phase: Phase) -> Array:
    """Sends between pipeline stages in one step [C]."""
    message = phase.tokens * _streams_width(spec) * 2.0
    stages = pts.pp * machine.stages
    hop = point_to_point(machine.net, pts.group * stages, message)
    return np.where(stages > 1, (stages - 1) * hop, 0.0) * phase.passes


@lru_cache(maxsize=64)
def _streams_width(spec: ModelSpec) -> int:
    """Features of a token between two layers: those of all residual streams where it has
    several."""
    return max(
        [
            spec.hidden_size,
            *(row.shape[1] for row in spec.rows if row.fused.startswith("hc-") and row.is_matrix),
        ]
    )


def plain_gemm(
    device: DeviceProfile,
    machine: Machine,
    rows: Array,
    outputs: Array,
    inputs: float,
    weight_bytes: Array,
) -> Parts:
    """A BF16 GEMM of ``rows`` × ``inputs`` by ``outputs``; all [C] → Parts [C, 1]."""
    if machine.plain is not None:
        return machine.plain.parts(
            rows[:, None], outputs[:, None], np.asarray(inputs), weight_bytes[:, None]
        )
    reached = device.achieved["bf16"]
    rate = device.rate("bf16")
    assert rate is not None
    moved = weight_bytes + 2.0 * rows * inputs + 2.0 * rows * outputs
    return operator(
        flop=(2.0 * rows * outputs * inputs)[:, None],
        moved_bytes=moved[:, None],
        converted=np.zeros(1),
        launch=np.asarray(reached.floor_seconds.value),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(reached.compute_fraction.value),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(reached.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )


def router_parts(
    module: Module, machine: Machine, device: DeviceProfile, pts: Points, phase: Phase
) -> Parts:
    """Router GEMM (BF16) and the top-k kernel of one layer."""
    outputs, inputs = module.gemms[0].members[0]
    n = np.full(len(pts), float(outputs))
    gemm = plain_gemm(
        device, machine, phase.tokens, n, float(inputs), np.full(len(pts), 2.0 * outputs * inputs)
    )
    return gemm.scaled(column(phase.passes)).plus(top_k_parts(module, device, phase))


def top_k_parts(module: Module, device: DeviceProfile, phase: Phase) -> Parts:
    """The choice of experts from the FP32 logits of one layer."""
    outputs, _ = module.gemms[0].members[0]
    return elementwise(device, phase.tokens * outputs * 4.0, 1).scaled(column(phase.passes))


def head_parts(
    spec: ModelSpec, machine: Machine, device: DeviceProfile, pts: Points, phase: Phase
) -> Parts:
    """Output projection (BF16) and sampling over the vocabulary shard."""
    outputs = spec.vocab_size / pts.tp
    rows = phase.logit_rows * phase.passes
    gemm = plain_gemm(
        device, machine, rows, outputs, float(spec.hidden_size), 2.0 * outputs * spec.hidden_size
    )
    return gemm.plus(sampling_parts(spec, machine, device, pts, rows))


def sampling_parts(
    spec: ModelSpec, machine: Machine, device: DeviceProfile, pts: Points, rows: Array
) -> Parts:
    """Sampling of ``rows`` [C] positions over the vocabulary shards, FP32 logits collected."""
    outputs = spec.vocab_size / pts.tp
    sampling = elementwise(device, rows * outputs * 4.0 * SAMPLING_PASSES, SAMPLING_PASSES)
    logits = rows * spec.vocab_size * 4.0
    collect = gather(machine.net, pts.tp, pts.tp, logits)[:, None]
    return sampling.plus(communication_only(collect))


def with_communication(parts: Parts, seconds: Array) -> Parts:
    """``parts`` followed by a collective of ``seconds`` (broadcast)."""
    shape = np.broadcast_shapes(parts.total().shape, np.shape(seconds))
    both = parts.plus(communication_only(np.broadcast_to(seconds, shape)))
    return replace(both, overlap=parts.overlap)
