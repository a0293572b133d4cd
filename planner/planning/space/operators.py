"""Operators that a unit is made of, and their times on the device: per layer and micro-batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.placement.cache_entries import stores
from planner.placement.modules import (
    AS_RELEASED_KINDS,
    EXPERT_KINDS,
    Module,
    attention_of,
)
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.dropped_rules import norm_parts, parts_by_scheme
from planner.planning.space.hosted import beside_host, experts_here, hosted_parts
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.throughput.attention import decode_parts, prefill_parts
from planner.throughput.experts import expert_parts
from planner.throughput.fixed import (
    embedding_parts,
    head_parts,
    router_parts,
    with_communication,
)
from planner.throughput.ggml_attention import with_ggml
from planner.throughput.indexer import indexer_parts
from planner.throughput.kernels import legal_schemes
from planner.throughput.linear import communication, dense_parts, kernel_arrays
from planner.throughput.mixed import by_part, uncached
from planner.throughput.points import Phase, Points
from planner.throughput.recurrent import recurrent_parts
from planner.throughput.roofline import Parts, beside, where

Array = NDArray[np.float64]
SHARED_KINDS = ("shared-gate-up", "shared-down")


def unit_parts(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase,
               unit: DecisionUnit) -> Parts:
    """Parts of one layer of ``unit``: [C, schemes], [C, layouts] or [C, 1] by its role."""
    if unit.role == "module":
        return module_parts(model, tables, pts, phase, unit.row)
    if unit.role == "cache":
        return cache_parts(model, pts, phase, unit.row)
    return released_parts(model, tables, pts, phase, unit.row)


def module_parts(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase,
                 row: int) -> Parts:
    """One layer of planned module ``row`` with its collective, Parts [C, S]."""
    if model.planned[row].place:
        weight = np.repeat(tables.host[row].astype(np.float64)[None], len(pts), axis=0)
        return hosted_parts(model, pts, phase, row, weight, lambda bytes_of_rank: _on_device(
            model, tables, pts, phase, row, bytes_of_rank))
    weight = tables.shard[pts.layout, row, :].astype(np.float64)
    return _on_device(model, tables, pts, phase, row, weight)


def _on_device(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, row: int,
               weight: Array) -> Parts:
    """One layer of planned module ``row`` on the device, with ``weight`` bytes of a rank [C, S]."""
    module = model.planned[row]
    spec = model.question.spec
    if module.kind in AS_RELEASED_KINDS:
        return parts_by_scheme(model, tables.layouts, pts, phase, module)
    if module.kind in EXPERT_KINDS:
        assert spec.experts is not None
        experts, load = experts_here(model, module, phase)
        parts = expert_parts(module, experts, model.machine, pts, phase, weight, load)
        if load is not None and not module.place:
            parts = beside_host(parts, _least_of_host(model, tables, pts, phase, module))
        widths = model.machine.grouped
        assert widths is not None
    else:
        parts = dense_parts(module, model.machine, pts, phase, weight)
        widths = model.machine.dense
        hidden = model.machine.beside
        if module.kind in SHARED_KINDS and hidden is not None and hidden.any():
            parts = where(hidden, beside(parts), parts)
        if module.kind == "linear-attention":
            attention = attention_of(spec, module.layers[0])
            parts = parts.plus(by_part(
                lambda at, p: recurrent_parts(attention, model.question.device, at, p,
                                              model.machine.stacks), pts, phase))
    talk = communication(module.kind, spec.hidden_size, spec.experts, model.machine, pts, phase,
                         widths.activation_bytes)
    return with_communication(parts, talk)


def _least_of_host(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase,
                   module: Module) -> Array:
    """The least seconds of the experts in host memory beside those of ``module`` [C, 1]; 0 where
    there are none."""
    assert model.host is not None
    for row, other in enumerate(model.planned):
        if other.place and (other.kind, other.layers) == (module.kind, module.layers):
            there = module_parts(model, tables, pts, phase, row).total()[:, model.host.legal]
            least: Array = there.min(axis=1, initial=np.inf)[:, None]
            return least
    return np.zeros((len(pts), 1))


def cache_parts(model: CostModel, pts: Points, phase: Phase, row: int) -> Parts:
    """One layer of cache unit ``row`` (the attention core), Parts [C, K]."""
    question = model.question
    unit = model.caches[row]
    names = [n if stores(unit, n) else "bf16" for n in question.kv]

    def one(at: Points, part: Phase) -> Parts:
        run = decode_parts if part.name == "decode" else prefill_parts
        found = with_ggml(
            model.machine.cpu_attention, unit.attention, unit.kind, names, question.device, at,
            part, lambda: run(unit.attention, unit.kind, names, question.device, at, part,
                              model.machine.stacks))
        return uncached(found, unit.attention, part)

    return by_part(one, pts, phase)


def released_parts(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase,
                   row: int) -> Parts:
    """One layer of an as-released module, Parts [C, 1]."""
    question = model.question
    spec, device = question.spec, question.device
    module = model.released[row]
    if module.kind == "norm":
        return norm_parts(model, pts, phase, module)
    if module.kind == "embedding":
        return embedding_parts(spec, device, pts, phase)
    if module.kind == "head":
        return head_parts(spec, model.machine, device, pts, phase)
    if module.kind == "router":
        return router_parts(module, model.machine, device, pts, phase)
    scheme = released_scheme(model, module)
    kernels = kernel_arrays(device, [scheme], experts=False, stacks=model.machine.stacks)
    machine = replace(model.machine, dense=kernels, grouped=None)
    weight = tables.released[pts.layout, row][:, None].astype(np.float64)
    dense = dense_parts(module, machine, pts, phase, weight)
    attention = attention_of(spec, module.layers[0])
    return dense.plus(by_part(
        lambda at, p: uncached(indexer_parts(attention, device, at, p, machine.stacks),
                               attention, p), pts, phase))


def released_scheme(model: CostModel, module: Module) -> str:
    """The scheme an as-released module runs in: as stored where the device can, else BF16."""
    stored = module.released_as
    if stored in ("bf16", "fp16", "fp32"):
        return stored
    return stored if legal_schemes(model.question.device, [stored])[0] else "bf16"
