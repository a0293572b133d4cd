"""Routed experts computed by the host's CPU while a GPU keeps attention and what is always on.

    t = layers·(2·(l + T·H·2 B / W_link) + t_cpu),
    t_cpu = floor + max(FLOP / (P·e_c), bytes / (W·e_m), converted / R) + t_reduce

Activations of T tokens go to host memory and come back in BF16 (l: latency of the link). The CPU
reads the touched experts once; sockets split every expert's width and add up over UPI. Both sides
wait for each other: a token's layers follow one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.profile import DeviceProfile
from planner.throughput.collectives import all_reduce, fabric
from planner.throughput.kernels import kernel
from planner.throughput.residency import Link

ACTIVATION_BYTES = 2.0
PARTIAL_BYTES = 4.0


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One MoE layer of a step: ``tokens`` of ``hidden`` features, ``pairs`` token-expert pairs on
    ``touched`` experts of ``elements`` weights and ``expert_bytes`` stored bytes each."""

    tokens: float
    hidden: int
    pairs: float
    touched: float
    elements: int
    expert_bytes: int


@dataclass(frozen=True, slots=True)
class CpuExperts:
    """Seconds of one MoE layer by what takes them, and the mechanism that bounds the CPU."""

    compute: float
    memory: float
    conversion: float
    floor: float
    reduce: float
    transfer: float
    bound: str
    unit: str

    @property
    def seconds(self) -> float:
        return (
            self.floor
            + max(self.compute, self.memory, self.conversion)
            + self.reduce
            + self.transfer
        )


def cpu_experts(
    cpu: DeviceProfile, scheme: str, work: LayerWork, link: Link, sockets: int = 1
) -> CpuExperts:
    """One MoE layer on ``sockets`` of ``cpu`` with weights stored as ``scheme``.

    Raises:
        UnsupportedError: no CPU, or one that cannot run the scheme.
        InputError: more sockets than a node of the CPU has.
    """
    if cpu.kind != "cpu":
        raise UnsupportedError(f"{cpu.id} is no CPU", hint="name a Xeon profile as the host")
    if not 1 <= sockets <= cpu.devices_per_node:
        raise InputError(f"{sockets} sockets of {cpu.id}", hint=f"from 1 to {cpu.devices_per_node}")
    how = kernel(cpu, scheme, experts=True)
    bandwidth = cpu.bandwidth_bytes_per_s.value * how.bandwidth_fraction
    compute = 2.0 * work.pairs * work.elements / (how.peak_flop_per_s * how.compute_fraction)
    memory = work.touched * work.expert_bytes / bandwidth
    conversion = work.touched * work.elements / how.conversion_elements_per_s
    parts = {
        "compute": compute / sockets,
        "memory": memory / sockets,
        "conversion": conversion / sockets,
    }
    count = np.asarray(float(sockets))
    reduce = float(
        all_reduce(fabric(cpu), count, count, np.asarray(work.tokens * work.hidden * PARTIAL_BYTES))
    )
    moved = work.tokens * work.hidden * ACTIVATION_BYTES
    transfer = 2.0 * (link.floor_seconds + moved / link.bytes_per_s)
    bound = max(parts, key=lambda name: parts[name])
    return CpuExperts(
        parts["compute"],
        parts["memory"],
        parts["conversion"],
        how.floor_seconds,
        reduce,
        transfer,
        bound,
        how.unit,
    )
