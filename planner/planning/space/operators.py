"""Operators that a unit is made of, and their times on the device: per layer and micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.formats.kv import kv_layout
from planner.models.spec import Attention
from planner.placement.cache_entries import head_entry_bytes, stores
from planner.placement.layout import Layout
from planner.placement.modules import (
    AS_RELEASED_KINDS,
    DRAFT,
    EXPERT_KINDS,
    Module,
    attention_of,
    linear_of,
)
from planner.placement.shards import shard_byte_table
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.draft_bytes import draft_column
from planner.planning.space.hosted import experts_here, hosted_parts, with_host_time
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.unit_model import UnitModel
from planner.throughput.attended import COMPRESSED
from planner.throughput.attention import decode_parts, prefill_parts
from planner.throughput.by_scheme import embedding_by_scheme, head_by_scheme, router_by_scheme
from planner.throughput.compressor import compressor_parts, overlapped_core
from planner.throughput.elementwise_kernels import small_kernels
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
from planner.throughput.linear import all_reduces, collective_after, dense_parts, kernel_arrays
from planner.throughput.mixed import by_part, without_cached_pairs
from planner.throughput.points import Phase, Points
from planner.throughput.recurrent import recurrent_parts
from planner.throughput.roofline import Parts, overlapped, select_parts, zero_parts

Array = NDArray[np.float64]
SHARED_KINDS = ("shared-gate-up", "shared-down")


def unit_parts(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, unit: DecisionUnit
) -> Parts:
    """Parts of one layer of ``unit``: [C, schemes], [C, layouts] or [C, 1] by its role. Unequal
    cards take turns: a layer is the mean of all by their layers; what stands before the stack is on
    the first of them, what stands behind it on the last."""
    if not model.cards:
        return _parts_of_role(model, tables, pts, phase, unit)
    if not unit.layers:
        end = model.cards[0 if unit.kind == "embedding" else -1]
        return _parts_of_role(end.model, tables, pts, phase, unit)
    first, *others = [
        _parts_of_role(card.model, tables, pts, phase, unit).scaled(card.share)
        for card in model.cards
    ]
    for parts in others:
        first = first.plus(parts)
    return first


def _parts_of_role(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, unit: DecisionUnit
) -> Parts:
    if unit.role == "module":
        return module_parts(model, tables, pts, phase, unit.row)
    if unit.role == "cache":
        return cache_parts(model, pts, phase, unit.row)
    return released_parts(model, tables, pts, phase, unit.row)


def module_parts(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, row: int
) -> Parts:
    """One layer of planned module ``row`` with its collective, Parts [C, S]."""
    if model.planned[row].place:
        weight = np.repeat(tables.host[row].astype(np.float64)[None], len(pts), axis=0)
        return hosted_parts(
            model,
            pts,
            phase,
            row,
            weight,
            lambda bytes_of_rank: _on_device(model, tables, pts, phase, row, bytes_of_rank),
        )
    weight = tables.shard[pts.layout, row, :].astype(np.float64)
    return _on_device(model, tables, pts, phase, row, weight)


def _on_device(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, row: int, weight: Array
) -> Parts:
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
            parts = with_host_time(parts, _least_of_host(model, tables, pts, phase, module))
        widths = model.machine.grouped
        assert widths is not None
    else:
        parts = dense_parts(module, model.machine, pts, phase, weight)
        widths = model.machine.dense
        hidden = model.machine.beside
        if module.kind in SHARED_KINDS and hidden is not None and hidden.any():
            parts = select_parts(hidden, overlapped(parts), parts)
        if module.kind == "linear-attention":
            attention = linear_of(spec, module.layers[0])
            parts = parts.plus(
                by_part(
                    lambda at, p: recurrent_parts(
                        attention,
                        model.device,
                        at,
                        _verifying(attention, p)[1],
                        model.machine.stacks,
                    ),
                    pts,
                    phase,
                )
            )
    talk = collective_after(
        module.kind,
        spec.hidden_size,
        spec.experts,
        model.machine,
        pts,
        phase,
        widths.activation_bytes,
    )
    return with_communication(parts, talk * all_reduces(module))


def _least_of_host(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, module: Module
) -> Array:
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
        attention, part = _verifying(unit.attention, part)
        parts = with_ggml(
            model.machine.cpu_attention,
            attention,
            unit.kind,
            names,
            model.device,
            at,
            part,
            lambda: run(attention, unit.kind, names, model.device, at, part, model.machine.stacks),
        )
        parts = without_cached_pairs(parts, attention, part)
        if attention.kind not in COMPRESSED:
            return parts
        size = head_entry_bytes(attention, kv_layout(names[0]), unit.kind)
        return parts.plus(overlapped_core(unit.attention, model.device, at, part, float(size)))

    return by_part(one, pts, phase)


def _verifying(attention: Attention, phase: Phase) -> tuple[Attention, Phase]:
    """What one decoding token would have to be for its attention to cost what that of the verified
    tokens of a sequence does: they read its cache together, as so many times the heads. Where each
    selects entries of its own or moves a state on, they are as many sequences."""
    if phase.name != "decode" or phase.verified == 1.0:
        return attention, phase
    if attention.kind == "linear" or attention.indexer_topk:
        return attention, replace(phase, sequences=phase.sequences * phase.verified, verified=1.0)
    return replace(attention, heads=attention.heads * int(phase.verified)), phase


def released_parts(
    model: CostModel, tables: LayoutTables, pts: Points, phase: Phase, row: int
) -> Parts:
    """One layer of an as-released module, Parts [C, 1]."""
    question = model.question
    spec, device = question.spec, model.device
    module = model.released[row]
    if module.kind == DRAFT:
        return draft_parts(model, tables, pts, phase)
    if module.kind == "norm":
        return norm_parts(model, pts, phase, module)
    if module.kind == "embedding":
        return embedding_parts(spec, device, phase)
    if module.kind == "head":
        return head_parts(spec, model.machine, device, pts, phase)
    if module.kind == "router":
        return router_parts(module, model.machine, device, pts, phase)
    if module.kind == "compressor":
        return compressor_parts(module, model.machine, device, pts, phase)
    scheme = released_scheme(model, module)
    kernels = kernel_arrays(device, [scheme], experts=False, stacks=model.machine.stacks)
    machine = replace(model.machine, dense=kernels, grouped=None)
    weight = tables.released[pts.layout, row][:, None].astype(np.float64)
    dense = dense_parts(module, machine, pts, phase, weight)
    attention = attention_of(spec, module.layers[0])
    return dense.plus(
        by_part(
            lambda at, p: without_cached_pairs(
                indexer_parts(attention, device, at, _verifying(attention, p)[1], machine.stacks),
                attention,
                p,
            ),
            pts,
            phase,
        )
    )


def draft_parts(model: CostModel, tables: LayoutTables, pts: Points, phase: Phase) -> Parts:
    """All passes of what drafts in one step, and its way through a prompt, Parts [C, 1].

    The first pass takes up what was verified before (padded to all tokens of a step) and drafts one
    token, each further pass another. What lies outside its layers but joins them (the projection of
    the model's hidden states) runs in the first.
    """
    draft, own, speculation = model.draft, tables.draft, model.question.speculation
    assert draft is not None
    assert own is not None
    assert speculation is not None
    lies = {
        name: np.array([getattr(la, name) for la in own.layouts], dtype=np.float64)
        for name in ("tp", "dp", "ep")
    }

    def run(at: Points, part: Phase) -> Parts:
        mine = replace(
            at,
            pp=np.ones(len(at)),
            tp=lies["tp"][at.layout],
            dp=lies["dp"][at.layout],
            ep=lies["ep"][at.layout],
        )
        if part.name != "decode":
            return _full_pass(draft, own, mine, part, speculation.layers_share, joined=True)
        first = replace(part, pooled=part.tokens * mine.dp, logit_rows=part.sequences)
        parts = _full_pass(draft, own, mine, first, speculation.layers_share, joined=True)
        if speculation.draft_tokens == 1:
            return parts
        later = replace(first, tokens=part.sequences, pooled=part.sequences * mine.dp, verified=1.0)
        return parts.plus(
            _full_pass(draft, own, mine, later, speculation.layers_share, joined=False).scaled(
                speculation.draft_tokens - 1.0
            )
        )

    return by_part(run, pts, phase)


def _full_pass(
    draft: CostModel, tables: LayoutTables, pts: Points, phase: Phase, share: float, *, joined: bool
) -> Parts:
    """One pass through all of a draft, Parts [C, 1]: a ``share`` of its layers. ``joined``: with
    the projection in front of them."""
    known: dict[tuple[str, int], Parts] = {}
    total = zero_parts((len(pts), 1))
    for unit in draft.units:
        if unit.role == "module" and not unit.layers and not joined:
            continue
        key = unit.role, unit.row
        if key not in known:
            known[key] = unit_parts(draft, tables, pts, phase, unit).column(
                draft_column(draft, unit)
            )
        total = total.plus(known[key].scaled(unit.count * (share if unit.layers else 1.0)))
    return total


def released_scheme(model: CostModel, module: Module) -> str:
    """The scheme an as-released module runs in: as stored where the device can, else BF16."""
    stored = module.released_as
    if stored in ("bf16", "fp16", "fp32"):
        return stored
    return stored if legal_schemes(model.question.device, [stored])[0] else "bf16"


def parts_by_scheme(
    model: UnitModel, layouts: Sequence[Layout], pts: Points, phase: Phase, module: Module
) -> Parts:
    """One layer of a module whose rule is dropped, Parts [C, S]; norms [C, 1]."""
    question, machine = model.question, model.machine
    spec, device = question.spec, model.device
    if module.kind == "norm":
        return norm_parts(model, pts, phase, module)
    table = shard_byte_table([module], question.schemes, layouts)[pts.layout, 0]
    size = table.astype(np.float64)
    if module.kind == "embedding":
        return embedding_by_scheme(spec, device, pts, phase, size)
    if module.kind == "head":
        return head_by_scheme(module, spec, machine, device, pts, phase, size)
    if module.kind == "router":
        return router_by_scheme(module, machine, device, pts, phase, size - module.vector_bytes)
    attention = attention_of(spec, module.layers[0])
    return dense_parts(module, machine, pts, phase, size).plus(
        by_part(lambda at, p: indexer_parts(attention, device, at, p, machine.stacks), pts, phase)
    )


def norm_parts(model: UnitModel, pts: Points, phase: Phase, module: Module) -> Parts:
    """The norms of an average layer, or the last one, Parts [C, 1]: no format changes them."""
    spec, device = model.question.spec, model.device
    if not module.layers:
        return embedding_parts(spec, device, phase)
    return small_kernels(spec, model.machine, device, pts, phase)
