"""Formats of the weights and caches that ``plan memory`` counts: as released, one, or a plan's."""

from __future__ import annotations

from planner.base.errors import InputError
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.spec import TensorFormat
from planner.memory.caches import KvOf
from planner.memory.resident import FormatOf, PartFormats, as_released
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.record import Plan
from planner.planning.question.caches import PLAIN_KV, named_apart, named_by_layer


def weight_formats(
    spec: ModelSpec,
    scheme: str | None,
    plan: Plan | None,
) -> tuple[FormatOf, str, frozenset[str]]:
    """The format of every matrix, what to call it, and the schemes in it: as released, a scheme,
    or a plan's units.

    Raises:
        InputError: both a scheme and a plan, or no such scheme.
    """
    if scheme is not None and plan is not None:
        raise InputError("scheme and plan exclude each other", hint="leave one out")
    if plan is not None:
        table: dict[tuple[str, int], TensorFormat] = {}
        units = [u for u in plan.units if u.kv_layout is None and u.weight_format is not None]
        for unit in units:
            for layer in unit.layers:
                table[unit.matrix, layer] = scheme_by_id(unit.scheme).weight
        return (PartFormats(table), "of the plan", frozenset(unit.scheme for unit in units))
    released = frozenset(row.scheme for row in spec.rows if row.scheme and row.part == "main")
    if scheme is None:
        return as_released, f"{spec.quantization} as released", released
    record = scheme_by_id(scheme)
    other = {
        (row.kind, layer)
        for row in spec.rows
        if row.part == "main"
        and row.is_matrix
        and row.kind in PLANNED_KINDS
        and (row.scheme or row.dtype) != record.id
        for layer in row.layers or (-1,)
    }
    if record.id == spec.quantization and not other:
        return as_released, f"{record.id} as released", released
    return (
        lambda kind, layer: record.weight if (kind, layer) in other else None,
        record.id,
        frozenset({record.id}),
    )


def cache_layouts(
    spec: ModelSpec, kv: str, plan: Plan | None, keeps: str = PLAIN_KV
) -> tuple[str | KvOf, str]:
    """The layout of every cache, and what to call it: given, a plan's units, the release's own, or
    else what the engine ``keeps``.

    Raises:
        InputError: both a layout and a plan, or no such layout; when asked, a cache that the plan
            does not cover.
    """
    if plan is not None:
        if kv != "auto":
            raise InputError(
                f"kv {kv!r} and plan exclude each other: the plan has its own caches",
                hint="leave one out",
            )
        table = {
            (u.kind, layer): u.kv_layout
            for u in plan.units
            if u.kv_layout is not None
            for layer in u.layers
        }
        names = sorted(set(table.values()))

        def chosen(kind: str, layer: int) -> str:
            layer = min(layer, spec.layers - 1)  # prediction layers as the last one
            if (kind, layer) not in table:
                raise InputError(
                    f"plan file: {kind} of layer {layer} has no unit",
                    hint=f"the plan must cover every cache of {spec.id}",
                )
            return table[kind, layer]

        return chosen, ", ".join(names)
    by_layer = named_by_layer(spec, kv)
    if by_layer:

        def named(_: str, layer: int) -> str:
            return by_layer[min(layer, spec.layers - 1)] or keeps

        return named, ", ".join(sorted({*filter(None, by_layer)}))
    apart = named_apart(kv)
    if apart:
        return lambda kind, _: apart[kind == "kv-v"], "/".join(apart)
    name = spec.kv_scheme or keeps if kv == "auto" else kv_layout(kv).id
    return name, name
