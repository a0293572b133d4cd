"""Bytes that an assignment keeps on one rank: weights by stage, caches, and what is neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.memory.footprint import activation_bytes, activation_rates, runtime_bytes
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.question.question import PREFILL_CHUNK, Question
from planner.planning.solver.problem import cheapest
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables, legality
from planner.records import cached_record

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@cached_record
class StageBytes:
    """Bytes of one layout: ``fixed`` int64 [stage], ``counts`` int64 [stage, unit] layers."""

    fixed: Int
    counts: Int


def stage_table(model: CostModel, tables: LayoutTables) -> list[StageBytes]:
    """Fixed bytes and layer counts by stage for every layout."""
    counts = {pp: stage_counts(model, pp) for pp in {la.pp for la in tables.layouts}}
    return [StageBytes(stage_bytes(model, tables, i, counts[la.pp]), counts[la.pp])
            for i, la in enumerate(tables.layouts)]


def stage_counts(model: CostModel, pp: int) -> Int:
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


def stage_bytes(model: CostModel, tables: LayoutTables, index: int, counts: Int) -> Int:
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


def temporary_bytes(model: CostModel, layout: Layout, slot: int) -> tuple[int, int]:
    """(activations, runtime) of one rank with ``slot`` sequences in a micro-batch."""
    question = model.question
    chunk = min(PREFILL_CHUNK, question.workload.isl)
    return (activation_bytes(question.spec, layout, chunk_tokens=chunk, sequences=slot),
            runtime_bytes(question.device, layout))


def bytes_per_layer(model: CostModel, tables: LayoutTables, layout: int, slot: int) -> Int:
    """int64 [unit, choice]: bytes one layer of a unit takes on a rank (cache: of all slots)."""
    question = model.question
    schemes = len(question.schemes)
    size = np.zeros((len(model.units), len(model.choices)), dtype=np.int64)
    held = slot * tables.layouts[layout].pp
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[i, :schemes] = tables.shard[layout, unit.row]
        elif unit.role == "cache":
            size[i, schemes:] = tables.cache[layout, unit.row] * held
    return size


def budget(question: Question) -> int:
    """Bytes of one device that a plan may fill."""
    limit = question.usable_bytes
    return min(limit, question.memory_bytes) if question.memory_bytes is not None else limit


def overheads(model: CostModel, tables: LayoutTables, layouts: Int, slots: Int) -> Int:
    """Activations, runtime, indexer keys and states of one rank of many (layout, slot) pairs,
    int64 [N]."""
    question = model.question
    chunk = min(PREFILL_CHUNK, question.workload.isl)
    used = sorted(set(layouts.tolist()))
    place = np.searchsorted(used, layouts)
    fixed = np.array(tables.fullest_fixed, dtype=np.int64)[used]
    rates = np.array([activation_rates(question.spec, tables.layouts[i]) for i in used],
                     dtype=np.int64).reshape(-1, 2)
    runtime = np.array([runtime_bytes(question.device, tables.layouts[i]) for i in used],
                       dtype=np.int64)
    pp = np.array([tables.layouts[i].pp for i in used], dtype=np.int64)
    return np.asarray(np.maximum(slots, chunk) * rates[place, 0] + slots * rates[place, 1]
                      + runtime[place] + fixed[place] * slots * pp[place])


@cached_record
class Least:
    """The smallest legal assignment of one layout: bytes by stage, and of one cached sequence.

    ``possible`` is False where a unit has no legal choice.
    """

    weights: Int
    sequence: Int
    possible: bool

    def at(self, model: CostModel, tables: LayoutTables, layout: int, slot: int) -> int:
        """Bytes of the fullest rank with ``slot`` sequences a micro-batch."""
        slots = np.array([slot], dtype=np.int64)
        beside = overheads(model, tables, np.array([layout], dtype=np.int64), slots)
        return int(self.at_slots(tables.layouts[layout].pp, slots, beside)[0])

    def at_slots(self, pp: int, slots: Int, beside: Int) -> Int:
        """Bytes of the fullest rank with ``slots`` [N] sequences a micro-batch, ``beside`` [N]
        bytes of :func:`overheads` included."""
        if not self.possible:
            return np.full(len(slots), np.iinfo(np.int64).max)
        caches = self.sequence[:, None] * (slots * pp)
        return np.asarray((self.weights[:, None] + caches).max(axis=0) + beside)


def least(model: CostModel, tables: LayoutTables, stage: StageBytes, layout: int) -> Least:
    """The smallest legal choice of every unit under one layout."""
    return smallest(model, tables, {layout: stage}, [layout])[0]


def smallest(model: CostModel, tables: LayoutTables,
             stages: Sequence[StageBytes] | Mapping[int, StageBytes],
             layouts: Sequence[int]) -> list[Least]:
    """The smallest legal choice of every unit under each of ``layouts`` (places in ``tables``)."""
    legal = legality(model, tables, layouts)
    schemes = len(model.question.schemes)
    size = np.zeros(legal.shape, dtype=np.int64)
    at = np.asarray(layouts, dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[:, i, :schemes] = tables.shard[at, unit.row]
        elif unit.role == "cache":
            size[:, i, schemes:] = tables.cache[at, unit.row]
    best = cheapest(np.where(legal, size, np.iinfo(np.int64).max))
    module = np.array([u.role == "module" for u in model.units])
    cache = np.array([u.role == "cache" for u in model.units])
    none = (best[:, module | cache] == np.iinfo(np.int64).max).any(axis=1)
    found = []
    for i, index in enumerate(at.tolist()):
        stage = stages[index]
        if none[i]:
            found.append(Least(stage.fixed, stage.fixed, False))
            continue
        found.append(Least(stage.fixed + stage.counts @ np.where(module, best[i], 0),
                           stage.counts @ np.where(cache, best[i], 0), True))
    return found


def least_bytes(model: CostModel, tables: LayoutTables, stage: StageBytes, layout: int, slot: int,
                ) -> int:
    """Bytes of the fullest rank with the smallest legal choice everywhere."""
    return least(model, tables, stage, layout).at(model, tables, layout, slot)
