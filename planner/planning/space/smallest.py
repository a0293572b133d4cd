"""The smallest legal assignment of a layout, and how many sequences fit beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.space.memory import (
    StageBytes,
    activations,
    budget,
    layout_bytes,
    overhead_rates,
    overheads,
)
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables, legality

Int = NDArray[np.int64]


@cached_record
class SmallestAssignment:
    """The smallest legal assignment of one layout: bytes by stage, and of its caches by what grows
    alike, int64 [stage, cache]: ``each`` of one request, ``once`` of one at the context.

    ``possible`` is False where a unit has no legal choice.
    """

    weights: Int
    each: Int
    once: Int
    possible: bool

    def at(self, model: CostModel, tables: LayoutTables, layout: int, slot: int) -> int:
        """Bytes of the fullest rank with ``slot`` sequences a micro-batch."""
        slots = np.array([slot], dtype=np.int64)
        beside = overheads(model, tables, np.array([layout], dtype=np.int64), slots)
        return int(self.at_slots(tables.layouts[layout].pp, slots, beside)[0])

    def at_slots(self, pp: int, slots: Int, overhead: Int) -> Int:
        """Bytes of the fullest rank with ``slots`` [N] sequences a micro-batch, ``overhead`` [N]
        bytes of :func:`overheads` included."""
        if not self.possible:
            return np.full(len(slots), np.iinfo(np.int64).max)
        rank_sequences = (slots * pp)[:, None]
        caches = np.maximum(self.each[:, None] * rank_sequences, self.once[:, None]).sum(axis=2)
        return np.asarray((self.weights[:, None] + caches).max(axis=0) + overhead)


def smallest_of_layout(
    model: CostModel, tables: LayoutTables, stage: StageBytes, layout: int
) -> SmallestAssignment:
    """The smallest legal choice of every unit under one layout."""
    return smallest(model, tables, {layout: stage}, [layout])[0]


def smallest(
    model: CostModel,
    tables: LayoutTables,
    stages: Sequence[StageBytes] | Mapping[int, StageBytes],
    layouts: Sequence[int],
) -> list[SmallestAssignment]:
    """The smallest legal choice of every unit under each of ``layouts`` (places in ``tables``)."""
    decided = model.decided
    legal = decided.all_allowed(decided.allowed(legality(model, tables, layouts)))
    at = np.asarray(layouts, dtype=np.int64)
    size, token, once = (part[at] for part in layout_bytes(model, tables))
    ones = np.ones(len(decided.kernels), dtype=np.int64)
    best = np.where(legal, decided.total(size + token, ones), np.iinfo(np.int64).max).argmin(axis=2)
    of = np.array([k.decision for k in decided.kernels])
    where = np.arange(len(at))[:, None], np.arange(len(of)), best[:, of]
    size, token, once = (np.where(decided.released, 0, part[where]) for part in (size, token, once))
    none = np.asarray(~np.logical_and.reduce(legal.any(axis=2), axis=1))
    out = []
    for i, index in enumerate(at.tolist()):
        stage = stages[index]
        each, constant = (
            np.column_stack([stage.counts * part[i], fixed])
            for part, fixed in ((token, stage.sequence), (once, stage.once))
        )
        if tables.plenty == 1:  # all grow alike
            each, constant = (part.sum(axis=1, keepdims=True) for part in (each, constant))
        out.append(
            SmallestAssignment(stage.fixed + stage.counts @ size[i], each, constant, not none[i])
        )
    return out


def most_slots(
    model: CostModel, tables: LayoutTables, smallest_of: Sequence[SmallestAssignment], limit: int
) -> Int:
    """Sequences a micro-batch up to which the smallest assignment fits, int64 [L] of all layouts;
    0 where none does, at most ``limit``."""
    room = budget(model.question)
    stages, kinds = (
        max(layout_smallest.each.shape[i] for layout_smallest in smallest_of) for i in range(2)
    )
    weights = np.zeros((len(smallest_of), stages), dtype=np.int64)
    each, once = (np.zeros((len(smallest_of), stages, kinds), dtype=np.int64) for _ in range(2))
    for i, one in enumerate(smallest_of):
        own = len(one.weights)
        weights[i, :own], each[i, :own], once[i, :own] = one.weights, one.each, one.once
    every = np.arange(len(smallest_of))
    isl = np.array([model.question.workload.isl])
    rates = overhead_rates(model, tables, every)
    pp = np.array([la.pp for la in tables.layouts], dtype=np.int64)
    low, high = np.zeros(len(every), dtype=np.int64), np.full(len(every), limit, dtype=np.int64)
    high[[not layout_smallest.possible for layout_smallest in smallest_of]] = 0
    while (low < high).any():
        middle = (low + high + 1) // 2
        cache_bytes = np.maximum(each * (middle * pp)[:, None, None], once).sum(axis=2)
        used = (
            (weights + cache_bytes).max(axis=1)
            + rates[:, 2]
            + activations(model, rates, middle, isl)
        )
        fits = (used <= room) | (low == high)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return low


def least_bytes(
    model: CostModel,
    tables: LayoutTables,
    stage: StageBytes,
    layout: int,
    slot: int,
) -> int:
    """Bytes of the fullest rank with the smallest legal choice everywhere."""
    return smallest_of_layout(model, tables, stage, layout).at(model, tables, layout, slot)
