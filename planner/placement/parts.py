"""The matrices of a module apart: modules where an engine stores and multiplies each by itself.

A part is named after the matrix's GGUF tensor (attn_q → q, ffn_gate_exps → gate). What a release
has joined (phi's qkv) stays one part without a name, and so does a module of one matrix. Vectors go
with their matrix, those that have none with the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from planner.formats.schemes import SCHEMES
from planner.models.gguf_names import gguf_stems
from planner.models.inventory import row_bytes
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.modules import PLANNED_KINDS, Module, alike, kind_order, module_of

WHOLE = ("linear-attention", "mla-kv")
"""Kinds whose step is more than its products, or whose matrices engines cut in other places."""
Classes = Callable[[str, str, int], object]
"""(kind, part, layer) → what a layer's matrix must share with others to be decided with them."""
_NAMED = re.compile(r"(?:attn|ffn|ssm)_(\w+?)(?:_exps|_shexp)?")


@lru_cache(maxsize=64)
def modules_apart(spec: ModelSpec) -> tuple[Module, ...]:
    """:func:`planner.placement.modules.modules` with every matrix that is stored by itself a module
    of its own, in reading order."""
    kinds: dict[str, list[TensorRow]] = {}
    for row in spec.rows:
        if row.part in ("main", "lookup") and row.copy_of is None:
            kinds.setdefault(row.kind, []).append(row)
    return tuple(
        module
        for kind in sorted(kinds, key=kind_order)
        for layers, rows in alike(kinds[kind])
        for module in _apart(spec, kind, layers, rows)
    )


def part_of(row: TensorRow) -> str:
    """What a matrix is called beside its kind; empty where its GGUF name is not known."""
    return part_of_stem(stems[0]) if (stems := gguf_stems(row.name)) else ""


def part_of_stem(stem: str) -> str:
    """``attn_q`` → q; empty for a name of another form."""
    match = _NAMED.fullmatch(stem)
    return match[1] if match else ""


def stored_apart(spec: ModelSpec) -> bool:
    """Whether a release stores matrices of one kind and layer in several schemes with interleaved
    blocks, as GGUF files do."""
    names_by_place: dict[tuple[str, int], set[str]] = {}
    for module in modules_apart(spec) if _has_blocks(spec) else ():
        for layer in module.layers if module.part else ():
            names_by_place.setdefault((module.kind, layer), set()).add(module.released_as)
    return any(len(schemes) > 1 for schemes in names_by_place.values())


def _has_blocks(spec: ModelSpec) -> bool:
    used = {row.scheme for row in spec.rows if row.scheme is not None}
    return any(SCHEMES[name].weight.block_bytes is not None for name in used if name in SCHEMES)


@lru_cache(maxsize=64)
def parts_of(spec: ModelSpec) -> dict[tuple[str, int], tuple[str, ...]]:
    """(kind, layer) → the parts that :func:`modules_apart` has there; absent where it is whole."""
    parts_by_place: dict[tuple[str, int], tuple[str, ...]] = {}
    for module in modules_apart(spec):
        if module.part:
            for layer in module.layers:
                parts_by_place[module.kind, layer] = (
                    *parts_by_place.get((module.kind, layer), ()),
                    module.part,
                )
    return parts_by_place


def _apart(
    spec: ModelSpec,
    kind: str,
    layers: tuple[int, ...],
    rows: Sequence[TensorRow],
) -> list[Module]:
    parts: dict[str, list[TensorRow]] = {}
    for row in rows:
        if row.is_matrix and row.quantisable:
            parts.setdefault(part_of(row), []).append(row)
    if kind not in PLANNED_KINDS or kind in WHOLE or len(parts) < 2 or "" in parts:
        return [module_of(spec, kind, layers, rows)]
    owners = {row.name.removesuffix("weight"): part for part, own in parts.items() for row in own}
    first, beside, elements = next(iter(parts)), 0, 0
    for row in rows:
        if row.is_matrix and row.quantisable:
            continue
        if row.is_matrix:
            beside += row_bytes(row)  # a gate that no type narrows
            elements += row.elements * row.experts
        else:
            parts[owners.get(row.name.removesuffix("bias"), first)].append(row)
    modules = [
        replace(module_of(spec, kind, layers, own), part=part) for part, own in parts.items()
    ]
    modules[0] = replace(
        modules[0],
        vector_bytes=modules[0].vector_bytes + beside,
        stored_bytes=modules[0].stored_bytes + beside,
        vector_elements=modules[0].vector_elements + elements,
    )
    return modules
