"""Modules in the memory of a host: computed there by its CPU, or fetched over the link.

    computed   t = t_cpu + all-reduce(sockets) + 2·(l + T·H·a / W_link)
    fetched    t = t_device + l + touched bytes / W_link

T tokens of H features cross the link with a bytes each, there and back, behind the last product of
a block; l is the link's latency. A token's layers follow one another, so that device and host take
turns; where the experts of one layer are on both, those of the device run beside the host's. A
scheme of its own belongs to each side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.models.spec import Experts
from planner.placement.modules import EXPERT_KINDS, Module
from planner.planning.question.host_place import Offload
from planner.planning.space.model import CostModel
from planner.throughput.collectives import all_reduce
from planner.throughput.expert_load import ExpertLoad, part_load
from planner.throughput.experts import expert_parts, load_of
from planner.throughput.linear import Machine, dense_parts
from planner.throughput.moe import popularity_spread
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, communication_only, select_parts

Array = NDArray[np.float64]
LAST = ("experts-down", "mlp-down")
"""Kinds behind which the results of a block go back to the device."""
PARTIAL_BYTES = 4.0
"""Sums of sockets are added up in FP32."""
OnDevice = Callable[[Array], Parts]
"""Parts of a module whose weights [C, S] of a rank are on the device."""


def hosted_parts(
    model: CostModel, pts: Points, phase: Phase, row: int, weight: Array, on_device: OnDevice
) -> Parts:
    """One layer of planned module ``row``, which lives in host memory with ``weight`` bytes
    [C, S]."""
    offload, module = model.question.offload, model.planned[row]
    assert offload is not None
    way = offload.way
    fetched = on_device(weight).plus(
        communication_only(_fetch_seconds(model, offload, module, pts, phase, weight))
    )
    if way.mode == "fetched":
        return fetched
    computed = _computed(model, offload, module, pts, phase, weight)
    if not way.fetched_from:
        return computed
    return select_parts((phase.tokens >= way.fetched_from)[:, None], fetched, computed)


def experts_here(
    model: CostModel,
    module: Module,
    phase: Phase,
) -> tuple[Experts, ExpertLoad | None]:
    """(the experts that ``module`` has, their load where they are not all of them): the most
    popular ones are on the device."""
    offload, experts = model.question.offload, model.question.spec.experts
    assert experts is not None
    if offload is None or not offload.by_experts:
        return experts, None
    cold = experts.count - offload.resident
    own = (0, cold) if module.place else (cold, experts.count)
    spread = popularity_spread() if model.machine.spread is None else model.machine.spread
    return replace(experts, count=module.experts), part_load(
        experts.count, experts.per_token, spread, phase.pooled, own
    )


def with_host_time(parts: Parts, there: Array) -> Parts:
    """Resident experts that run while the host computes the others for ``there`` seconds at the
    least [C, 1]: what takes longer is left of them."""
    own = parts.total()
    left = np.maximum(own - there, 0.0)
    return parts.scaled(np.where(own > 0, left / np.where(own > 0, own, 1.0), 0.0))


def _computed(
    model: CostModel, offload: Offload, module: Module, pts: Points, phase: Phase, weight: Array
) -> Parts:
    side = model.host
    assert side is not None
    machine = side.machine
    assert machine is not None
    sockets = float(offload.computing)
    own = replace(pts, tp=np.full(len(pts), sockets))
    if module.kind in EXPERT_KINDS:
        experts, load = experts_here(model, module, phase)
        parts = expert_parts(module, experts, machine, own, phase, weight / sockets, load)
    else:
        parts = dense_parts(module, machine, own, phase, weight / sockets)
    if module.kind not in LAST:
        return parts
    return parts.plus(
        communication_only(
            _crossing(model, offload, machine, phase)[:, None] * column(phase.passes)
        )
    )


def _crossing(model: CostModel, offload: Offload, machine: Machine, phase: Phase) -> Array:
    """Seconds of a pass that tokens go to the host and back, and that its sockets add up [C]."""
    features = phase.tokens * model.question.spec.hidden_size
    link = offload.link
    there = 2.0 * (link.floor_seconds + features * offload.way.activation_bytes / link.bytes_per_s)
    count = np.full(len(phase.tokens), float(offload.computing))
    return np.asarray(there + all_reduce(machine.net, count, count, features * PARTIAL_BYTES))


def _fetch_seconds(
    model: CostModel, offload: Offload, module: Module, pts: Points, phase: Phase, weight: Array
) -> Array:
    """Seconds that the weights which the passes need take over the link [C, S]."""
    moved = weight
    if module.kind in EXPERT_KINDS:
        experts, load = experts_here(model, module, phase)
        load = load_of(experts, model.machine, pts, phase) if load is None else load
        moved = weight * (load.touched / experts.count)[:, None]
    link = offload.link
    return np.asarray((link.floor_seconds + moved / link.bytes_per_s) * column(phase.passes))
