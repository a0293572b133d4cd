"""Costs of every unit under every choice, as arrays, for many candidates at once.

The choice axis holds the schemes, then the cache layouts; a unit may take only its own kind of
choice (``legal``). Times are per layer and per micro-batch; multiply by layers and stages later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.memory.footprint import activation_bytes, runtime_bytes
from planner.placement.cache_entries import (
    CacheUnit,
    cache_units,
    fixed_slot_bytes,
    reads_fp8_cache,
    slot_layer_bytes,
    stores,
    token_layer_bytes,
)
from planner.placement.layout import Layout, stage_of_layer
from planner.placement.modules import (
    AS_RELEASED_KINDS,
    EXPERT_KINDS,
    Module,
    attention_of,
    modules,
)
from planner.placement.shards import block_legality, released_shard_bytes, shard_byte_table
from planner.planning.engines.rules import cache_group
from planner.planning.question.decisions import Unit, build_units, split_modules
from planner.planning.question.policies import NO_OTHER, kept_scheme
from planner.planning.question.question import PREFILL_CHUNK, Question
from planner.planning.space.dropped_rules import chosen_parts, norm_parts
from planner.planning.space.losses import loss_table, no_range, uniform_norm
from planner.quality.prior import Prior, reference_of
from planner.records import cached_record
from planner.throughput.attention import decode_parts, indexer_parts, prefill_parts
from planner.throughput.calibration import stacks_of
from planner.throughput.experts import expert_parts
from planner.throughput.fixed import (
    embedding_parts,
    head_parts,
    router_parts,
    with_communication,
)
from planner.throughput.gemm import gemm_model
from planner.throughput.kernels import legal_schemes
from planner.throughput.linear import (
    Machine,
    communication,
    dense_parts,
    kernel_arrays,
)
from planner.throughput.mixed import by_part
from planner.throughput.points import Phase, Points
from planner.throughput.recurrent import recurrent_parts
from planner.throughput.roofline import Parts

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@cached_record
class Model:
    """What does not depend on the candidate: modules, units, losses, device kernels."""

    question: Question
    prior: Prior
    planned: list[Module]
    released: list[Module]
    units: list[Unit]
    machine: Machine

    @property
    def choices(self) -> tuple[str, ...]:
        """Schemes, then cache layouts."""
        return self.question.schemes + self.question.kv

    @cached_property
    def caches(self) -> tuple[CacheUnit, ...]:
        return cache_units(self.question.spec)

    @cached_property
    def indexer_fp8(self) -> bool:
        """Whether the indexer's keys are cached in FP8, else BF16."""
        return reads_fp8_cache(self.question.device)

    @cached_property
    def references(self) -> tuple[str, ...]:
        """What the weights of each planned module were released as: its table of errors."""
        return tuple(reference_of(m.released_as, self.prior) for m in self.planned)

    @cached_property
    def norm(self) -> float:
        """Unscaled loss of uniform fp8-block: the unit of relative loss."""
        return uniform_norm(self)

    @cached_property
    def layer_loss(self) -> Array:
        """Loss of one layer [unit, choice]; NaN where the choice is not possible."""
        return loss_table(self)

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """bool [unit, choice]: right kind of choice, error emulated, range sufficient."""
        table = ~np.isnan(self.layer_loss)
        schemes = len(self.question.schemes)
        for i, unit in enumerate(self.units):
            if unit.role == "cache":
                table[i, schemes:] &= [stores(self.caches[unit.row], n) for n in self.question.kv]
            if self.question.barred and unit.role != "released":
                word = unit.kind if unit.role == "module" else cache_group(self.caches[unit.row])
                table[i] &= [(word, n) not in self.question.barred for n in self.choices]
            if unit.role != "module":
                continue
            released = self.planned[unit.row].released_as
            if unit.layers and set(unit.layers) <= set(self.question.kept):
                table[i, :schemes] &= [s == kept_scheme(self.question, released)
                                       for s in self.question.schemes]
            for j, scheme in enumerate(self.question.schemes):
                fixed = self.question.as_released or unit.kind in NO_OTHER
                if fixed and scheme != released:
                    table[i, j] = False
                if table[i, j] and no_range(self, unit, scheme):
                    table[i, j] = False
        return table


def build_model(question: Question, prior: Prior, engine: str | None = None, *,
                static_scales: bool = False) -> Model:
    """Modules, units and kernels for ``question``, as ``engine`` (default: the question's) was
    measured to run them.

    ``static_scales``: activation scales per tensor are stored, none is searched for in a step.
    """
    planned, released = split_modules(modules(question.spec), question.dropped)
    fused = question.fused
    if question.spec.tied_embeddings:
        own = planned if "head" in question.dropped else released
        own.append(tied_head(own))
        fused = (*fused, ("embedding", "head"))
    units = build_units(question.spec, planned, released, prior.ends,
                        by_layer=question.profile is not None, fused=fused,
                        kept=question.kept)
    device, server = question.device, engine or question.engine
    stacks = stacks_of(server)
    machine = Machine(
        bandwidth=device.bandwidth_bytes_per_s.value,
        dense=kernel_arrays(device, question.schemes, experts=False, stacks=stacks,
                            static_scales=static_scales, engine=server),
        grouped=kernel_arrays(device, question.schemes, experts=True, stacks=stacks, engine=server)
        if question.spec.experts else None,
        net=question.net, stacks=stacks, plain=gemm_model(device, "bf16", stacks))
    return Model(question, prior, planned, released, units, machine)


def tied_head(modules: list[Module]) -> Module:
    """The output projection that shares the embedding's matrix: it runs, and stores nothing."""
    embedding = next(m for m in modules if m.kind == "embedding")
    return replace(embedding, kind="head", stored_bytes=0)


@cached_record
class LayoutTables:
    """Exact bytes by layout. ``shard`` int64 [L, module, scheme] of one layer on one rank.

    Caches of one rank: ``cache`` int64 [L, cache unit, layout] of one layer and sequence at the
    question's context, ``token`` the same for one more token; ``fixed`` int64 [L, layer] of a
    sequence's indexer keys and recurrent state.
    """

    layouts: list[Layout]
    shard: Int
    blocks: NDArray[np.bool_]
    released: Int
    cache: Int
    token: Int
    fixed: Int

    @cached_property
    def fullest_fixed(self) -> list[int]:
        """Bytes of ``fixed`` of one sequence in the fullest pipeline stage, of each layout."""
        out = []
        for sizes, layout in zip(self.fixed, self.layouts, strict=True):
            stages = np.array(stage_of_layer(len(sizes), layout.pp))
            out.append(max(int(sizes[stages == stage].sum()) for stage in range(layout.pp)))
        return out


def layout_tables(model: Model, layouts: list[Layout]) -> LayoutTables:
    """Byte tables of all ``layouts``."""
    question = model.question
    shard = shard_byte_table(model.planned, question.schemes, layouts)
    for row, module in enumerate(model.planned):
        if module.kind == "head" and question.spec.tied_embeddings:
            shard[[la.pp == 1 for la in layouts], row] = 0  # a copy in the last stage, if any
    blocks = block_legality(model.planned, question.schemes, layouts)
    released = np.array([[_released_bytes(model, m, la) for m in model.released]
                         for la in layouts], dtype=np.int64)
    cache, token, fixed = _cache_tables(model, layouts)
    return LayoutTables(layouts, shard, blocks, released, cache, token, fixed)


def _cache_tables(model: Model, layouts: list[Layout]) -> tuple[Int, Int, Int]:
    """``cache``, ``token`` and ``fixed`` of :class:`LayoutTables`; they depend on tp alone."""
    question = model.question
    context, spec = question.workload.context, question.spec
    cache = np.zeros((len(layouts), len(model.caches), len(question.kv)), dtype=np.int64)
    token = np.zeros_like(cache)
    fixed = np.zeros((len(layouts), spec.layers), dtype=np.int64)
    tps = np.array([layout.tp for layout in layouts])
    for tp in sorted(set(tps.tolist())):
        here = tps == tp
        for j, unit in enumerate(model.caches):
            for k, name in enumerate(question.kv):
                if stores(unit, name):
                    cache[here, j, k] = slot_layer_bytes(unit, name, tp, context)
                    token[here, j, k] = token_layer_bytes(unit, name, tp, context)
        for group in spec.attention:
            size = fixed_slot_bytes(group, tp, context, indexer_fp8=model.indexer_fp8)
            fixed[np.ix_(here, group.layers)] = size
    return cache, token, fixed


def _released_bytes(model: Model, module: Module, layout: Layout) -> int:
    """Bytes of one layer of an as-released module on a rank that holds it. A tied head is a copy
    of the embedding where the last pipeline stage is not the first, else nothing."""
    if module.kind == "head" and model.question.spec.tied_embeddings:
        if layout.pp == 1:
            return 0
        module = next(m for m in model.released if m.kind == "embedding")
    return released_shard_bytes(module, layout)


def module_parts(model: Model, tables: LayoutTables, pts: Points, phase: Phase,
                 row: int) -> Parts:
    """One layer of planned module ``row`` with its collective, Parts [C, S]."""
    module = model.planned[row]
    weight = tables.shard[pts.layout, row, :].astype(np.float64)
    spec = model.question.spec
    if module.kind in AS_RELEASED_KINDS:
        return chosen_parts(model, tables.layouts, pts, phase, module)
    if module.kind in EXPERT_KINDS:
        assert spec.experts is not None
        parts = expert_parts(module, spec.experts, model.machine, pts, phase, weight)
        widths = model.machine.grouped
        assert widths is not None
    else:
        parts = dense_parts(module, model.machine, pts, phase, weight)
        widths = model.machine.dense
        if module.kind == "linear-attention":
            attention = attention_of(spec, module.layers[0])
            parts = parts.plus(by_part(
                lambda at, p: recurrent_parts(attention, model.question.device, at, p), pts, phase))
    talk = communication(module.kind, spec.hidden_size, spec.experts, model.machine, pts, phase,
                         widths.activation_bytes)
    return with_communication(parts, talk)


def cache_parts(model: Model, pts: Points, phase: Phase, row: int) -> Parts:
    """One layer of cache unit ``row`` (the attention core), Parts [C, K]."""
    question = model.question
    unit = model.caches[row]
    names = [n if stores(unit, n) else "bf16" for n in question.kv]

    def one(at: Points, part: Phase) -> Parts:
        run = decode_parts if part.name == "decode" else prefill_parts
        return run(unit.attention, unit.kind, names, question.device, at, part,
                   model.machine.stacks)

    return by_part(one, pts, phase)


def released_parts(model: Model, tables: LayoutTables, pts: Points, phase: Phase,
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
        lambda at, p: indexer_parts(attention, device, at, p), pts, phase))


def released_scheme(model: Model, module: Module) -> str:
    """The scheme an as-released module runs in: as stored where the device can, else BF16."""
    stored = module.released_as
    if stored in ("bf16", "fp16", "fp32"):
        return stored
    return stored if legal_schemes(model.question.device, [stored])[0] else "bf16"


def stage_counts(model: Model, pp: int) -> Int:
    """Layers of each unit in each pipeline stage, int64 [stage, unit]; a module outside the stack
    that a choice is made for counts once in its stage."""
    stages = np.array(stage_of_layer(model.question.spec.layers, pp))
    counts = np.zeros((pp, len(model.units)), dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.layers:
            counts[:, i] = np.bincount(stages[list(unit.layers)], minlength=pp)
        elif unit.role == "module":
            counts[0 if unit.kind == "embedding" else -1, i] = 1
    return counts


def stage_bytes(model: Model, tables: LayoutTables, index: int, counts: Int) -> Int:
    """Bytes that no choice changes, int64 [stage], of one layout.

    Embedding in the first stage, head in the last, norms, routers and indexers by their layers.
    """
    fixed = np.zeros(len(counts), dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.role != "released":
            continue
        size = tables.released[index, unit.row]
        if unit.layers:
            fixed += counts[:, i] * size
        else:
            fixed[0 if unit.kind == "embedding" else -1] += size
    return fixed


def temporary_bytes(model: Model, layout: Layout, slot: int) -> tuple[int, int]:
    """(activations, runtime) of one rank with ``slot`` sequences in a micro-batch."""
    question = model.question
    chunk = min(PREFILL_CHUNK, question.workload.isl)
    return (activation_bytes(question.spec, layout, chunk_tokens=chunk, sequences=slot),
            runtime_bytes(question.device, layout))


def unit_parts(model: Model, tables: LayoutTables, pts: Points, phase: Phase,
               unit: Unit) -> Parts:
    """Parts of one layer of ``unit``: [C, schemes], [C, layouts] or [C, 1] by its role."""
    if unit.role == "module":
        return module_parts(model, tables, pts, phase, unit.row)
    if unit.role == "cache":
        return cache_parts(model, pts, phase, unit.row)
    return released_parts(model, tables, pts, phase, unit.row)


def legality(model: Model, tables: LayoutTables, layout_index: Sequence[int] | Int,
             ) -> NDArray[np.bool_]:
    """bool [C, unit, choice]: possible for the unit and whole blocks under the layout."""
    index = np.asarray(layout_index, dtype=np.int64)
    table = np.repeat(model.possible[None], len(index), axis=0)
    schemes = len(model.question.schemes)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            table[:, i, :schemes] &= tables.blocks[index, unit.row, :]
    return table
