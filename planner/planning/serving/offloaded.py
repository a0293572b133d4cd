"""A decode step with the experts on the host's CPU and everything else on one GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.formats.kv import kv_layout
from planner.hardware.profile import DeviceProfile
from planner.memory.experts import expert_bytes, experts_of
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS, modules
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.step import pass_seconds, rank_points
from planner.quality.prior import load_prior
from planner.throughput.kernels import legal_schemes
from planner.throughput.offload import CpuExperts, LayerWork, cpu_experts
from planner.throughput.points import decode_phase
from planner.throughput.residency import Link

CACHE = "bf16"


@dataclass(frozen=True, slots=True)
class OffloadedStep:
    """Seconds of a decode step: the GPU's part, the experts on ``sockets`` of ``cpu`` in
    ``layers`` layers, and both one after the other. ``dense_scheme`` is the GPU's."""

    cpu: str
    sockets: int
    scheme: str
    dense_scheme: str
    context: int
    gpu_seconds: float
    layer: CpuExperts
    layers: int

    @property
    def expert_seconds(self) -> float:
        return self.layers * self.layer.seconds

    @property
    def seconds(self) -> float:
        return self.gpu_seconds + self.expert_seconds


def offloaded_step(
    spec: ModelSpec,
    device: DeviceProfile,
    cpu: DeviceProfile,
    link: Link,
    *,
    batch: int,
    touched: float,
    context: int,
    sockets: int,
) -> OffloadedStep:
    """``batch`` sequences of ``context`` cached tokens, whose layers touch ``touched`` experts.

    Weights run as released; what the GPU cannot multiply as released runs in BF16.

    Raises:
        UnsupportedError: the CPU cannot run the experts' scheme, or it is no CPU.
    """
    moe = experts_of(spec)
    all_modules = modules(spec)
    scheme = next(m.released_as for m in all_modules if m.kind in EXPERT_KINDS)
    dense = next((m.released_as for m in all_modules if m.kind == "attention-out"), "bf16")
    if not legal_schemes(device, [dense])[0]:
        dense = "bf16"
    work = LayerWork(
        tokens=float(batch),
        hidden=spec.hidden_size,
        pairs=float(batch * moe.per_token),
        touched=touched,
        elements=moe.matrices * (moe.latent or spec.hidden_size) * moe.width,
        expert_bytes=expert_bytes(spec),
    )
    layer = cpu_experts(cpu, scheme, work, link, sockets)
    plan = recipe_assignment(
        spec,
        device,
        Layout(1, 1, 1, 1),
        SchemeSet(dense, dense, kv_layout(CACHE).id),
        load_prior(),
        isl=context,
        osl=1,
    )
    at = rank_points(plan, np.array([float(batch)]))
    every = pass_seconds(plan, at, decode_phase(at, float(context))).by_kind
    rest = sum(float(v[0]) for kind, v in every.items() if kind not in EXPERT_KINDS)
    return OffloadedStep(cpu.id, sockets, scheme, dense, context, rest, layer, len(moe.layers))
