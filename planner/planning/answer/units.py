"""The units of a plan: their scheme, bytes, seconds and loss, and their sums by kind of module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

from planner.base.units import format_layers
from planner.formats.ggml_types import PREFIX
from planner.formats.schemes import scheme as scheme_by_id
from planner.messages.message import message
from planner.placement.layout import stage_of_layer
from planner.placement.modules import DRAFT
from planner.placement.shards import module_bytes
from planner.planning.answer.reasons import ReasonInputs
from planner.planning.plan.record import ModulePlan, UnitPlan
from planner.planning.price.price import Priced, SegmentCost
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel
from planner.planning.space.operators import released_scheme


def unit_plans(
    winner: SearchResult, priced: Priced, reasons: Mapping[tuple[int, int], ReasonInputs]
) -> tuple[UnitPlan, ...]:
    """The units of ``winner`` but drafting ones, each with the reason for its (unit, choice)."""
    model = winner.space.model
    return tuple(
        _unit(model, winner, priced, cost, reasons)
        for cost in priced.costs
        if model.units[cost.segment.unit].kind != DRAFT
    )


def _unit(
    model: CostModel,
    winner: SearchResult,
    priced: Priced,
    cost: SegmentCost,
    reasons: Mapping[tuple[int, int], ReasonInputs],
) -> UnitPlan:
    segment = cost.segment
    unit = model.units[segment.unit]
    why = reasons.get((segment.unit, segment.choice))
    scheme, weight, activation = scheme_of(model, unit.role, unit.row, segment.choice)
    layers = segment.layers
    name = unit.id
    if unit.layers and layers != unit.layers:
        name = f"{unit.id}.{scheme}"
    copy_bytes, device_bytes = _bytes(model, winner, priced, segment)
    experts = model.planned[unit.row].experts if unit.role == "module" else 1
    return UnitPlan(
        unit=name,
        kind=unit.kind,
        layers=layers,
        multiplicity=segment.count * experts,
        scheme=scheme,
        weight_format=weight,
        activation_format=activation,
        weight_bytes=copy_bytes,
        weight_bytes_per_device=device_bytes,
        prefill_seconds=cost.prefill_seconds,
        decode_seconds=cost.decode_seconds,
        bound=cost.bound,
        loss=cost.loss,
        reason=message("assumptions.given") if why is None else why.reason,
        next_best=None if why is None else why.next_best,
        place=unit.place or None,
        kv_layout=scheme if unit.role == "cache" else None,
        part=unit.part or None,
    )


def scheme_of(
    model: CostModel,
    role: str,
    row: int,
    choice: int,
) -> tuple[str, str | None, str | None]:
    """(scheme, weight format, activation format) of a segment."""
    if role == "cache":
        return model.choices[choice], None, None
    if role == "released":
        module = model.released[row]
        blocks = (module.scheme or "").startswith(PREFIX)  # of ggml: what it is stored in
        own = released_scheme(model, module) if module.kind == "indexer" or blocks else ""
        name = own or module.dtype
        return name, module.dtype, "bf16"
    record = scheme_by_id(model.choices[choice])
    return record.id, record.weight.element, record.activation.element


def _bytes(
    model: CostModel, winner: SearchResult, priced: Priced, segment: Segment
) -> tuple[int, int]:
    """(bytes of one copy of the weights, bytes on the fullest device)."""
    unit = model.units[segment.unit]
    layout = int(winner.space.pts.layout[winner.candidate])
    layers = _layers_on_fullest(model, priced, unit.kind, segment.layers)
    if unit.role == "cache":
        return 0, 0
    if unit.role == "released":
        module = model.released[unit.row]
        per_rank = int(winner.space.tables.released[layout, unit.row])
        return module.stored_bytes * segment.count, per_rank * layers
    module = model.planned[unit.row]
    scheme = scheme_by_id(model.choices[segment.choice])
    if module.kind == "head" and model.question.spec.tied_embeddings:
        return 0, int(winner.space.tables.shard[layout, unit.row, segment.choice]) * layers
    per_rank = int(winner.space.tables.shard[layout, unit.row, segment.choice])
    return module_bytes(module, scheme) * segment.count, per_rank * layers


def _layers_on_fullest(model: CostModel, priced: Priced, kind: str, layers: tuple[int, ...]) -> int:
    """Layers (or 1 for a tensor outside the stack) that the fullest device holds."""
    fullest = max(range(len(priced.stages)), key=lambda s: priced.stages[s].total)
    if not layers:
        return int(fullest == (0 if kind == "embedding" else len(priced.stages) - 1))
    stages = stage_of_layer(model.question.spec.layers, priced.layout.pp)
    return sum(stages[layer] == fullest for layer in layers)


def module_view(units: Sequence[UnitPlan]) -> tuple[ModulePlan, ...]:
    """Units summed by kind, part and scheme, in order, with their layer range."""
    groups: dict[tuple[str, str | None, str, str | None], list[UnitPlan]] = {}
    for unit in units:
        groups.setdefault((unit.kind, unit.part, unit.scheme, unit.place), []).append(unit)
    out = []
    for (kind, part, scheme, place), members in groups.items():
        layers = tuple(sorted(n for u in members for n in u.layers))
        out.append(
            ModulePlan(
                kind,
                format_layers(layers),
                scheme,
                sum(u.weight_bytes for u in members),
                sum(u.weight_bytes_per_device for u in members),
                fsum(u.prefill_seconds for u in members),
                fsum(u.decode_seconds for u in members),
                fsum(u.loss for u in members),
                part,
                place,
            )
        )
    return tuple(out)
