"""Bytes that an assignment keeps on one rank: weights by stage, caches, and what is neither."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.memory.overheads import Overheads
from planner.memory.overheads import overheads as overheads_of
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.question.question import Question
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables, layout_tables

Array = NDArray[np.float64]
Int = NDArray[np.int64]
TABLES = 16
"""Sets of layouts whose tables a model keeps."""


@cached_record
class StageBytes:
    """Bytes of one layout that no choice changes: ``fixed`` int64 [stage], and ``sequence`` int64
    [stage] of one request (indexer keys, recurrent states), ``once`` of one at the context.
    ``counts`` int64 [stage, kernel] layers."""

    fixed: Int
    sequence: Int
    once: Int
    counts: Int

    def caches(self, sequences: int) -> Int:
        """Bytes of what is fixed in the caches of so many sequences, int64 [stage]."""
        return np.asarray(np.maximum(self.sequence * sequences, self.once))


class StageTable(list[StageBytes]):
    """The stages of every layout."""

    @cached_property
    def padded(self) -> tuple[Int, Int]:
        """(fixed [L, P], counts [L, P, K]) of all layouts, padded with empty stages."""
        most = max(len(s.fixed) for s in self)
        counts = np.zeros((len(self), most, self[0].counts.shape[1]), dtype=np.int64)
        for i, stage in enumerate(self):
            counts[i, : len(stage.fixed)] = stage.counts
        return self._stacked([s.fixed for s in self]), counts

    @cached_property
    def _sequences(self) -> tuple[Int, Int]:
        """(of one request, of one at the context) [L, P]."""
        return self._stacked([s.sequence for s in self]), self._stacked([s.once for s in self])

    def _stacked(self, rows: Sequence[Int]) -> Int:
        out = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out

    def caches(self, layouts: Int, sequences: Int) -> Int:
        """:meth:`StageBytes.caches` of many (layout, sequences of a rank), int64 [N, P]."""
        a_sequence, once = self._sequences
        return np.asarray(np.maximum(a_sequence[layouts] * sequences[:, None], once[layouts]))


def stage_table(model: CostModel, tables: LayoutTables) -> StageTable:
    """Fixed bytes and layer counts by stage for every layout."""
    counts = {pp: stage_counts(model, pp) for pp in {la.pp for la in tables.layouts}}
    return StageTable(
        StageBytes(
            stage_bytes(model, tables, i, counts[la.pp]), *tables.fixed_of_stages(i), counts[la.pp]
        )
        for i, la in enumerate(tables.layouts)
    )


def tables_and_stages(
    model: CostModel,
    layouts: Sequence[Layout],
) -> tuple[LayoutTables, StageTable]:
    """The byte tables of ``layouts`` and their stages, kept for other questions of the model's
    kind with the same lengths."""
    work = model.question.workload
    known, key = (
        model.known_tables,
        (
            *layouts,
            work.context,
            work.cached_tokens,
            model.question.windows,
        ),
    )
    if key not in known:
        while len(known) >= TABLES:
            known.pop(next(iter(known)), None)
        tables = layout_tables(model, list(layouts))
        known[key] = tables, stage_table(model, tables)
    pair: tuple[LayoutTables, StageTable] = known[key]
    return pair


def stage_counts(model: CostModel, pp: int) -> Int:
    """Layers of each kernel in each pipeline stage, int64 [stage, kernel]; what is outside the
    stack runs once, in the first stage or in the last."""
    places = tuple((kernel.layers, kernel.kind == "embedding") for kernel in model.decided.kernels)
    return _stage_counts(model.question.spec.layers, pp, places)


@lru_cache(maxsize=64)
def _stage_counts(layers: int, pp: int, places: tuple[tuple[tuple[int, ...], bool], ...]) -> Int:
    """:func:`stage_counts` of kernels in some of ``layers``, or outside the stack in the first
    stage or not: ways to serve have the same."""
    stages = np.array(stage_of_layer(layers, pp))
    counts = np.zeros((pp, len(places)), dtype=np.int64)
    for k, (own, first) in enumerate(places):
        if own:
            counts[:, k] = np.bincount(stages[list(own)], minlength=pp)
        else:
            counts[0 if first else -1, k] = 1
    counts.setflags(write=False)
    return counts


def stage_bytes(model: CostModel, tables: LayoutTables, index: int, counts: Int) -> Int:
    """Bytes of weights that no choice changes, int64 [stage], of one layout."""
    fixed = np.zeros(len(counts), dtype=np.int64)
    for k, kernel in enumerate(model.decided.kernels):
        if kernel.decision < 0:
            fixed += counts[:, k] * tables.released[index, model.units[kernel.units[0]].row]
    return fixed


def bytes_per_layer(model: CostModel, tables: LayoutTables, layout: int, slot: int) -> Int:
    """int64 [unit, choice]: bytes one layer of a unit takes on a rank (cache: of all slots, at
    least of one sequence of the context)."""
    question = model.question
    schemes = len(question.schemes)
    size = np.zeros((len(model.units), len(model.choices)), dtype=np.int64)
    rank_sequences = slot * tables.layouts[layout].pp
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[i, :schemes] = tables.shard[layout, unit.row]
        elif unit.role == "cache":
            size[i, schemes:] = np.maximum(
                tables.cache[layout, unit.row] * rank_sequences, tables.once[layout, unit.row]
            )
    return size


def host_bytes(model: CostModel, tables: LayoutTables) -> Int:
    """int64 [unit, choice]: bytes that one layer of a unit takes in the memory of a host."""
    size = np.zeros((len(model.units), len(model.choices)), dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[i, : len(model.question.schemes)] = tables.host[unit.row]
    return size


def host_room(question: Question) -> int | None:
    """Bytes of the host's memory that a plan may fill; None without a host."""
    return None if question.offload is None else question.offload.memory_bytes


def host_used(model: CostModel, tables: LayoutTables, choice: Sequence[int] | Int) -> int:
    """Bytes in the memory of a host where each unit takes its ``choice`` (-1: as released)."""
    return sum(
        int(tables.host[unit.row, int(c)]) * unit.count
        for unit, c in zip(model.units, choice, strict=True)
        if unit.role == "module" and c >= 0
    )


def budget(question: Question) -> int:
    """Bytes of one device that a plan may fill."""
    limit = question.usable_bytes
    return min(limit, question.memory_bytes) if question.memory_bytes is not None else limit


def overheads(model: CostModel, tables: LayoutTables, layouts: Int, slots: Int) -> Int:
    """Activations and runtime of one rank of many (layout, slot) pairs, int64 [N]."""
    used, place = np.unique(layouts, return_inverse=True)
    rates = overhead_rates(model, tables, used)[place.reshape(-1)]
    isl = np.array([model.question.workload.isl])
    return activations(model, rates, slots, isl) + rates[:, 2]


def activations(model: CostModel, rates: Int, slots: Int, isl: Int) -> Int:
    """Activation bytes of one rank with ``slots`` [N] sequences in a micro-batch and prompts of
    ``isl`` tokens [N]; ``rates`` [N, 5] as :func:`overhead_rates` has them."""
    passed = slots * int(model.question.verified)
    chunk = np.minimum(model.question.chunk_tokens, isl)
    used = np.maximum(passed, chunk) * rates[:, 0] + passed * rates[:, 1]
    return np.asarray(rates[:, 3] + np.maximum(rates[:, 4], used))


def overhead_rates(model: CostModel, tables: LayoutTables, layouts: Int) -> Int:
    """What :class:`~planner.memory.overheads.Overheads` says of one rank of some layouts: bytes a
    token of a chunk and a sequence, of the runtime, fixed and at least, int64 [N, 5]."""
    counted = [question_overheads(model.question, tables.layouts[i]) for i in layouts.tolist()]
    return np.array(
        [(c.token, c.sequence, c.runtime, c.fixed, c.floor) for c in counted], dtype=np.int64
    ).reshape(-1, 5)


def question_overheads(question: Question, layout: Layout) -> Overheads:
    """What a rank of ``layout`` holds beside weights and caches."""
    return overheads_of(
        question.spec, layout, question.device, question.usable, question.workload.context
    )


def layout_bytes(model: CostModel, tables: LayoutTables) -> tuple[Int, Int, Int]:
    """Bytes of one layer of each kernel under each option on a rank, int64 [L, K, O] of all
    layouts: of weights, of one cached request, of one cached sequence of the context."""
    schemes = len(model.question.schemes)
    size = np.zeros((len(tables.layouts), len(model.units), len(model.choices)), dtype=np.int64)
    token = np.zeros_like(size)
    once = np.zeros_like(size)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[:, i, :schemes] = tables.shard[:, unit.row]
        elif unit.role == "cache":
            token[:, i, schemes:] = tables.cache[:, unit.row]
            once[:, i, schemes:] = tables.once[:, unit.row]
    by_option = model.decided.by_option
    token = by_option(token)
    return by_option(size), token, token if tables.plenty == 1 else by_option(once)
