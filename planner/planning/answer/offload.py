"""What of a plan lives in the memory of its host, for the record and as the engine's flags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil, fsum

from planner.base.units import GIB
from planner.messages.message import Note, message
from planner.placement.modules import EXPERT_KINDS
from planner.planning.plan.notes import with_notes
from planner.planning.plan.offload import OffloadInfo, OffloadSeconds
from planner.planning.plan.record import Plan
from planner.planning.price.intervals import certainty
from planner.planning.price.price import Priced, SegmentCost, host_bytes_of
from planner.planning.question.host_place import Offload
from planner.planning.question.offload import offload_layers
from planner.planning.space.candidates import Space
from planner.planning.space.losses import picked_share
from planner.planning.space.model import CostModel

WEIGHTS, STATISTICS = "KT_WEIGHTS", "EXPERT_STATISTICS.pt"
"""Stand for the folder of kt-kernel's experts, and for how often each expert is picked."""
KT_METHODS = {
    "bf16": "BF16",
    "fp8-block": "FP8",
    "fp8-channel": "FP8_PERCHANNEL",
    "int4-w4a16-g32": "RAWINT4",
    "int8-w8a8": "AMXINT8",
}
"""kt-kernel's words for the schemes of experts in host memory."""


def with_offload_info(space: Space, priced: Priced, plan: Plan) -> Plan:
    """``plan`` with what it keeps in host memory, and what its times leave out."""
    info = offload_info(space, priced)
    if info is None:
        return plan
    return with_notes(replace(plan, offload=info), *offload_notes(space.model, info))


def offload_info(space: Space, priced: Priced) -> OffloadInfo | None:
    """What the plan keeps in host memory; None without a host, or where nothing lives there."""
    model = space.model
    offload = model.question.offload
    if offload is None:
        return None
    here, away = (
        tuple(cost for cost in priced.costs if bool(model.units[cost.segment.unit].place) == there)
        for there in (False, True)
    )
    if not away:
        return None
    experts = model.question.spec.experts
    total = len(experts.layers) * experts.count if experts is not None else 0
    there = _experts_there(model, offload)
    weights = sum(cost_bytes(space, cost) for cost in priced.costs)
    host_bytes = host_bytes_of(space, priced)
    own = [c for c in here if model.units[c.segment.unit].kind in offload.kinds]
    schemes = [_schemes(model, costs) for costs in (own, away)]
    way = offload.way
    return OffloadInfo(
        host=offload.host.id,
        sockets=offload.sockets,
        memory_bytes=offload.memory_bytes,
        places=way.places,
        kinds=offload.kinds,
        layers=tuple(sorted({n for c in away for n in c.segment.layers})),
        experts_on_device=total - there,
        experts_in_host=there,
        device_bytes=weights,
        host_bytes=host_bytes,
        scheme_device=schemes[0],
        scheme_host=schemes[1],
        hit_rate=_hit_rate(model, offload),
        mode=way.mode,
        prompt_mode="fetched" if way.fetched_from else way.mode,
        step_seconds=_seconds(priced, away, fetched=way.mode == "fetched"),
        link_bytes_per_second=offload.link.bytes_per_s,
        engine=model.question.engine,
        flags=offload_flags(model, offload, schemes[1], host_bytes),
        basis=_basis(model, away),
    )


def cost_bytes(space: Space, cost: SegmentCost) -> int:
    """Bytes of the weights of a segment on the device."""
    model, segment = space.model, cost.segment
    unit = model.units[segment.unit]
    if unit.role == "cache":
        return 0
    table = (
        space.tables.released[0, unit.row]
        if segment.choice < 0
        else space.tables.shard[0, unit.row, segment.choice]
    )
    return int(table) * segment.count


def offload_notes(model: CostModel, info: OffloadInfo) -> tuple[Note, ...]:
    """What the times of a host leave out."""
    offload = model.question.offload
    assert offload is not None
    return (
        Note(
            "host step",
            message("assumptions.gib_there", n=f"{info.host_bytes / GIB:.0f}", mode=info.mode),
            message("assumptions.device_and_host_take_turns")
            if offload.computing == offload.sockets
            else message("assumptions.device_and_one_socket_take_turns", engine=info.engine),
        ),
    )


def offload_flags(
    model: CostModel, offload: Offload, schemes: tuple[str, ...], host_bytes: int
) -> tuple[str, ...]:
    """The flags of the engine's server that put there what the plan has there."""
    engine = model.question.engine
    if engine == "llama.cpp":
        flag = "--n-cpu-moe" if set(offload.kinds) <= set(EXPERT_KINDS) else "--n-cpu-ffn"
        return flag, str(offload.layers[-1] + 1)
    if engine == "vllm":
        return "--cpu-offload-gb", f"{ceil(host_bytes / GIB * 100) / 100:.2f}"
    silicon = offload.host.silicon
    cores = int(silicon.multiprocessors.value) if silicon is not None else 1
    words = [
        "--kt-method",
        KT_METHODS[schemes[0]],
        "--kt-weight-path",
        WEIGHTS,
        "--kt-cpuinfer",
        str(cores * offload.sockets),
        "--kt-threadpool-count",
        str(offload.sockets),
        "--kt-num-gpu-experts",
        str(offload.resident),
    ]
    if offload.resident:
        words += [
            "--kt-expert-placement-strategy",
            "frequency",
            "--init-expert-location",
            STATISTICS,
        ]
    return tuple(words)


def _experts_there(model: CostModel, offload: Offload) -> int:
    """Experts in host memory, over all layers."""
    experts = model.question.spec.experts
    if experts is None or not set(EXPERT_KINDS) & set(offload.kinds):
        return 0
    if offload.by_experts:
        return len(experts.layers) * (experts.count - offload.resident)
    return len(set(experts.layers) & set(offload.layers)) * experts.count


def _hit_rate(model: CostModel, offload: Offload) -> float:
    """Share of the picks, or of the layers, that the device serves."""
    if offload.by_experts:
        away = next((u for u in model.units if u.place), None)
        return 1.0 if away is None else 1.0 - picked_share(model, away)
    every = offload_layers(model.question.spec, offload)
    return 1.0 - len(offload.layers) / len(every) if every else 1.0


def _schemes(model: CostModel, costs: Iterable[SegmentCost]) -> tuple[str, ...]:
    """The distinct schemes of some segments, that of most seconds first."""
    spent: dict[str, float] = {}
    for cost in costs:
        if cost.segment.choice >= 0:
            name = model.choices[cost.segment.choice]
            spent[name] = spent.get(name, 0.0) + cost.decode_seconds
    return tuple(sorted(spent, key=lambda name: (-spent[name], name)))


def _seconds(priced: Priced, away: Sequence[SegmentCost], *, fetched: bool) -> OffloadSeconds:
    link = fsum(c.decode["communication"] * c.segment.count for c in away)
    there = fsum(c.decode_seconds for c in away) - link
    step = priced.tpot - priced.interruption
    host = 0.0 if fetched else there
    return OffloadSeconds(step - link - host, host, link)


def _basis(model: CostModel, away: Sequence[SegmentCost]) -> str:
    """How sure the host's times are, of the segment that takes most of them."""
    heaviest = max(away, key=lambda cost: cost.decode_seconds)
    how = certainty(model, model.units[heaviest.segment.unit], heaviest.segment.choice)[1]
    return f"{how.basis}: {how.origin}"
